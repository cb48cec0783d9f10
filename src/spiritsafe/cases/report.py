"""The dossier: a case told for a judge, a regulator or a customer, as one self-contained page or as a PDF.

Made from a case's folder (a draft) or from a bundle that was checked. Every text of the case is treated as hostile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.cases._dossier import content, page, paper, source
from spiritsafe.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from spiritsafe.cases._dossier.blocks import Dossier
    from spiritsafe.cases.folder import Case
    from spiritsafe.cases.verify import Checked


def of_case(case: Case) -> Dossier:
    """What the dossier of an unsealed case says. Raises StorageError."""
    return _told(source.of_case(case), str(case.folder))


def of_bundle(path: Path, checked: Checked) -> Dossier:
    """What the dossier of a bundle says; ``checked`` is what ``seal.check`` returned for it."""
    return _told(source.of_bundle(path, checked), str(path))


def _told(found: source.Source, where: str) -> Dossier:
    try:
        return content.dossier(found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"a part of this case is not what its kind should be: {error!r}",
            where=where,
            hint="was it added by hand?",
        ) from error


def html(dossier: Dossier) -> str:
    """One self-contained page; same dossier, same text."""
    return page.page(dossier)


def pdf(dossier: Dossier) -> bytes:
    """A PDF; same dossier, same bytes. Raises UsageError without the extra ``cases``."""
    return paper.paper(dossier)
