"""The keys of charter.toml: what each means, of what type it is, whether it must be there."""

from __future__ import annotations

from payoff.project.spec import Key, Section

FILE = "charter.toml"
_CELL = Key("money", "the payoff per decision: a number, or an SQL expression over the row")

SPEC = Section(
    {
        "objective": Section(
            {
                "statement": Key("text", "what the business wants, measurable and with a date", required=True),
                "owner": Key("text", "who answers for it", required=True),
                "purpose": Key("text", "the purpose, by the name that contracts permit columns to be used for"),
            },
            "what the business wants",
            required=True,
        ),
        "decision": Section(
            {
                "question": Key("text", "the decision in plain words", required=True),
                "examples": Key("text", "the step (or source) whose rows are the decisions", required=True),
                "id": Key("text", "the column that names a row", required=True),
                "outcome": Section(
                    {
                        "column": Key("text", "the column that says what happened", required=True),
                        "positive": Key(
                            "scalar", "the value of that column which is the named outcome; none for a quantity"
                        ),
                        "means": Key("text", "what it means, in plain words", required=True),
                        "name": Key("text", "the outcome's name in the payoff cells (default: the column's name)"),
                    },
                    "what is found out after the decision",
                    required=True,
                ),
                "per_year": Key("integer", "decisions a year", required=True, low=0),
                "at": Key("text", "the column that says when the decision is taken"),
                "action": Section(
                    {
                        "least": Key("number", "the smallest quantity", required=True),
                        "most": Key("number", "the largest", required=True),
                        "step": Key(
                            "number", "from one quantity to the next: a case of 12, as 12", required=True, low=0
                        ),
                        "unit": Key("text", "what is counted, in the plural, as loaves"),
                    },
                    "when the action is a quantity: which ones are permitted",
                ),
            },
            "the decision that is made again and again",
            required=True,
        ),
        "payoff": Section(
            {
                "currency": Key(
                    "text",
                    "the currency of all amounts",
                    required=True,
                    pattern="[A-Z]{3}",
                    pattern_says="three capital letters (ISO 4217), as EUR",
                ),
                "quantity": Key(
                    "text",
                    "when the action is a quantity: its money, an SQL expression over the row and the names action and outcome",
                ),
            },
            "money per decision: ACTION.OUTCOME = amount, for every pair; or that of a quantity",
            required=True,
            other=Section({}, "the payoffs of one action, by outcome", other=_CELL),
        ),
        "common_solutions": Section(
            {},
            "what you would do without a model",
            required=True,
            other=Section(
                {
                    "action": Key("action", "always this action; of quantities a number"),
                    "sql": Key("text", "an SQL expression over the row that names an action, or gives a quantity"),
                    "says": Key("text", "the same in plain words"),
                },
                "one way to decide without a model: either action or sql",
            ),
        ),
        "split": Section(
            {
                "by": Key("text", "how to choose the holdout", required=True, choices=("hash", "group", "time")),
                "on": Key("text", "the column to split on (default for hash: the decision's id)"),
                "holdout": Key("number", "the share of rows held out", low=0, high=1),
                "from": Key("date", "by time: the holdout starts here"),
                "salt": Key("text", "changes which rows are held out"),
            },
            "which rows the model is judged on",
            required=True,
        ),
        "model": Section(
            {
                "step": Key("text", "the step that makes the model", required=True),
                "recalibrate": Key(
                    "text",
                    "whether its probabilities are corrected when a part of train, set aside, shows that they are off (default: when poor)",
                    choices=("when poor", "never"),
                ),
                "gives": Key(
                    "text",
                    "what a model of a quantity gives: a forecast of the outcome, or at once the action (default: forecast)",
                    choices=("forecast", "action"),
                ),
            },
            "the model; left out until there is one: payoff worth says what one could be worth",
        ),
        "costs": Section(
            {
                "build": Key("number", "what building it costs, once", low=0, closed=True),
                "run_per_year": Key("number", "what running it costs a year", low=0, closed=True),
                "years": Key("number", "how many years it is expected to be used (default: 3)", low=0),
            },
            "what the model costs",
        ),
        "accept": Section(
            {
                "confidence": Key("number", "confidence of the interval (default: 0.95)", low=0.5, high=1),
                "min_gain_per_year": Key("number", "the least gain a year over the best common solution (default: 0)"),
            },
            "when the model is good enough",
        ),
        "stop": Section(
            {
                "after_runs": Key("integer", "stop after this many looks at the holdout", low=1, closed=True),
                "unless_upper_bound_above": Key("number", "unless the gain a year may still be above this"),
            },
            "the kill rule",
        ),
        "capacity": Section(
            {
                "action": Key("text", "the action that not everybody can have", required=True),
                "at_most": Key("integer", "how many can have it in each period", low=0),
                "budget": Key("number", "instead of at_most: the money there is in each period", low=0),
                "cost": Key(
                    "money",
                    "with budget: what the action costs each time, a number or an SQL expression over the row",
                    low=0,
                ),
                "per": Key("text", "the period", required=True, choices=("day", "week", "month", "quarter", "year")),
                "within": Key("text", "a column: each of its values has this capacity of its own"),
                "otherwise": Key(
                    "text", "what a common solution does with those it cannot serve (default: the only other action)"
                ),
            },
            "how many decisions can get an action; the model, the common solutions and perfect foresight all keep to it",
        ),
        "segments": Section(
            {},
            "groups of decisions that the money and the errors are looked at by, one table for each column",
            other=Section(
                {
                    "cut": Key("numbers", "where a number is cut into groups (default: at its quartiles)"),
                    "min_gain_per_year": Key("number", "refused when a group surely gains less a year than this"),
                    "max_error_gap": Key(
                        "number",
                        "refused when a group's error rate surely differs from the others' by more (0 to 1)",
                        low=0,
                        high=1,
                    ),
                },
                "the groups of one column; the limits are gates",
            ),
        ),
        "signed": Section(
            {
                "by": Key("text", "who: the objective's owner", required=True),
                "on": Key("date", "the day", required=True),
                "why": Key("text", "why it may go on, when the kill rule had stopped it"),
            },
            "the owner's signature under this version; a new one lets a stopped project go on",
        ),
    },
    "why a Payoff project exists, in money",
)
