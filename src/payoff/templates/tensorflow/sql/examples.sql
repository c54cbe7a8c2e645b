-- One row per decision. A file in sql/ is a step of its name; the tables it names are its inputs.
select week_id, days_since_service, age, load, temperature, vibration, failure_cost, fails
from machines
