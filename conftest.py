"""The suite's pytest plugins."""

pytest_plugins = (
    "fixtures.options",
    "fixtures.cases",
    "fixtures.artifacts",
    "fixtures.engines",
    "fixtures.gate",
    "fixtures.pictures",
    "fixtures.session",
    "fixtures.stream",
    "fixtures.unfinished",
    "fixtures.crew",
    "fixtures.first_baseline",
    "fixtures.report",
)
