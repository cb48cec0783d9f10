"""The dossier: a case told for a judge, a regulator or a customer, as one self-contained page or as a PDF.

Made from a case's folder (a draft) or from a bundle that was checked. Every text of the case is treated as hostile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.cases._dossier import content, page, paper, source

if TYPE_CHECKING:
    from pathlib import Path

    from spiritsafe.cases._dossier.blocks import Dossier
    from spiritsafe.cases.folder import Case
    from spiritsafe.cases.verify import Checked


def of_case(case: Case) -> Dossier:
    """What the dossier of an unsealed case says. Raises StorageError."""
    return content.dossier(source.of_case(case))


def of_bundle(path: Path, checked: Checked) -> Dossier:
    """What the dossier of a bundle says; ``checked`` is what ``seal.check`` returned for it."""
    return content.dossier(source.of_bundle(path, checked))


def html(dossier: Dossier) -> str:
    """One self-contained page; same dossier, same text."""
    return page.page(dossier)


def pdf(dossier: Dossier) -> bytes:
    """A PDF; same dossier, same bytes. Raises UsageError without the extra ``cases``."""
    return paper.paper(dossier)
