"""What an answer cost, in a line."""

from __future__ import annotations

from typing import Any


def cost_lines(answer: Any) -> list[str]:
    """Gradient steps, full runs, seconds, lanes, engine."""
    cost = answer.cost
    trained = f"{cost['new_gradient_steps']:,.0f} trained now, the rest came from the store"
    if cost["new_gradient_steps"] == cost["gradient_steps"]:
        trained = "all trained now"
    beside = {"validation": cost.get("validation_steps", 0), "looks at curvature": cost.get("look_steps", 0)}
    more = "".join(f", {what} worth {spent:,.0f}" for what, spent in beside.items() if spent >= 0.5)
    one = ""
    if "full_run_seconds" in cost:
        before, run, runs = (cost[name] for name in ("before_seconds", "full_run_seconds", "wall_runs"))
        one = f" ({before:.1f} s before any lane; one ordinary full run: {run:.1f} s, so {runs:.3g} of them)"
    runs = f"{cost['full_runs']:,.0f}" if cost["full_runs"] >= 1000 else f"{cost['full_runs']:.3g}"
    return [
        f"cost: {cost['gradient_steps']:,.0f} gradient steps{more} = {runs} full runs ({trained}), "
        f"{cost['seconds']:.1f} s{one}; {answer.made.lanes:,} lanes; engine {answer.engine}"
    ]
