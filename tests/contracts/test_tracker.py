from payoff.testing.tracker import TrackerSuite
class TestMlflowTracker(TrackerSuite):
    adapter = "payoff.trackers:mlflow"
