"""Pictures, pages and annotated videos."""
