"""What a class must do to be a policy, probe, monitor, design, law, store or engine of etastar: checks to run on your own.

Each check raises AssertionError with a sentence that says what was expected (`expect`): `designs`, `engines`, `laws`,
`monitors`, `policies`, `probes`, `stores`; `traces` holds that a look leaves none.
`synthetic` has trainings whose truth is known: an engine and a problem that answer in microseconds.

    from etastar.testing import check_policy

    def test_my_policy():
        check_policy(MyPolicy(patience=3))
"""

from etastar.testing.designs import check_design
from etastar.testing.engines import check_engine
from etastar.testing.laws import check_law
from etastar.testing.monitors import check_monitor
from etastar.testing.policies import check_policy
from etastar.testing.probes import check_probe
from etastar.testing.stores import check_store
from etastar.testing.synthetic import SyntheticEngine, Truth

__all__ = [
    "SyntheticEngine",
    "Truth",
    "check_design",
    "check_engine",
    "check_law",
    "check_monitor",
    "check_policy",
    "check_probe",
    "check_store",
]
