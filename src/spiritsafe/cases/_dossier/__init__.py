"""Parts of the dossier: what it says as blocks, and two writers that set them, as a page and as a PDF."""
