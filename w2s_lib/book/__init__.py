"""What a notebook opens, tables and checks, the report, and the build."""

import sys

# jsonschema, by which nbformat checks notebooks, imports a parser of international addresses if there is one, whose
# grammar takes more of a processor's seconds than all else that a notebook needs; no notebook's schema asks for it.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
