"""The condition language: text in, fast function out. `docs/reference/conditions.md` is its reference.

condition = compile_condition('cpu_usage > 80 AND event.severity IN ["high", "critical"]')
condition({"cpu_usage": 91.5, "event": {"severity": "high"}})    # True
"""

from automation.conditions.bindings import BoundCondition, compile_bound
from automation.conditions.compiler import compile_path
from automation.conditions.condition import Condition, Expression, compile_condition, compile_expression
from automation.conditions.durations import Held
from automation.conditions.interpreter import Explanation, Names, look_up, shown
from automation.conditions.measured import Measure, MeasuredCondition, compile_measured
from automation.conditions.templates import Template, as_text, compile_template
from automation.conditions.units import seconds_of
from automation.conditions.windows import Gap, View, Window

__all__ = [
    "BoundCondition",
    "Condition",
    "Explanation",
    "Expression",
    "Gap",
    "Held",
    "Measure",
    "MeasuredCondition",
    "Names",
    "Template",
    "View",
    "Window",
    "as_text",
    "compile_bound",
    "compile_condition",
    "compile_expression",
    "compile_measured",
    "compile_path",
    "compile_template",
    "look_up",
    "seconds_of",
    "shown",
]
