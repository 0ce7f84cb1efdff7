"""Local usage statistics: counts in an SQLite file, and the figures that ``fimble stats`` prints."""

from lsp_server.statistics.figures import Figures, figures_by, table_cells, total
from lsp_server.statistics.metrics import Metrics
from lsp_server.statistics.page import page
from lsp_server.statistics.retention import Accepted, KeptChecks, kept_share
from lsp_server.statistics.store import FILE_NAME, KEPT_DAYS, Count, CountsLocked, CountStore, CountsUnusable

__all__ = [
    "FILE_NAME",
    "KEPT_DAYS",
    "Accepted",
    "Count",
    "CountStore",
    "CountsLocked",
    "CountsUnusable",
    "Figures",
    "KeptChecks",
    "Metrics",
    "figures_by",
    "kept_share",
    "page",
    "table_cells",
    "total",
]
