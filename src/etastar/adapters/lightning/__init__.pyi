from .drive_policy import DrivePolicy as DrivePolicy
from .find_rate import FindRate as FindRate
from .from_module import problem_from as problem_from
from .watch_stability import WatchStability as WatchStability
