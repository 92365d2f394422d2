"""What the project's own work needs: installing, catalogues, screenshots, the READMEs' tables. Not in the package."""
