"""Four rules to begin with, for a fabric that searches by `vector_search`, `graph_query` and `hybrid_search`.

Nobody has them unless they are set: `mcpweft rules list --starter --json` prints them as a file for
`mcpweft rules set`. Above stands the command line.
"""

from __future__ import annotations

from typing import Any

_SEARCHES = ["vector_search", "graph_query", "hybrid_search"]

STARTER: dict[str, Any] = {
    "rules_match": "first",
    "rules": [
        {
            "name": "high-priority",
            "priority": 100,
            "when": {"priority": ["critical", "high"]},
            "then": {"max_attempts": 5},
        },
        {
            "name": "vector-words",
            "priority": 80,
            "when": {
                "capability": _SEARCHES,
                "arguments": {
                    "/query": {
                        "matches": r"(?i)\b(similar|similarity|vectors?|embeddings?|nearest|semantic)\b"
                    }
                },
            },
            "then": {"capability": "vector_search"},
        },
        {
            "name": "complex-query",
            "priority": 60,
            "when": {
                "capability": _SEARCHES,
                "any": [
                    {"arguments": {"/query": {"longer_than": 500}}},
                    {"arguments": {"/max_results": {"above": 10}}},
                ],
            },
            "then": {"capability": "hybrid_search", "priority": "low"},
        },
        {"name": "catch-all", "priority": 0},
    ],
}
"""In the shape of `mcpweft.toml`."""
