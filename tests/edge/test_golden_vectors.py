"""The edge against what the real gateway answered."""

from concurrent.futures import ThreadPoolExecutor

from tests.edge.replaying import by_config, differences

AGREED = 554
KNOWN_DISAGREEMENTS: dict[str, str] = {}
"""Vector id -> why the edge answers differently on purpose."""


def test_the_edge_in_compatible_mode_agrees_with_the_recorded_gateway() -> None:
    """Every recorded request gets the recorded answer and reaches the upstream as recorded, but for known ids."""
    cases = by_config()
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(differences, cases.keys(), cases.values()))
    merged = {key: found for result in results for key, found in result.items()}
    wrong = {key: found for key, found in merged.items() if found}
    assert {key: found for key, found in wrong.items() if key not in KNOWN_DISAGREEMENTS} == {}
    assert wrong.keys() == KNOWN_DISAGREEMENTS.keys()
    assert len(merged) - len(wrong) == AGREED
