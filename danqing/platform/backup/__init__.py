"""Backup and restore of what a deployment must not lose: MLflow's database, its files, and DVC's pictures.

Order matters, because nobody is stopped meanwhile. MLflow and DVC write files first and then the row or commit that
names them, and never change a file afterwards; so a backup takes the database first and the objects second: whatever
the dump names was there before, and is still there to be copied. (The other way round, a model registered in between
would be a row without files.) A restore puts the objects back first and the database last, in one transaction: a server
that runs sees the old state or the new one, never a model without files. What deletes files (`mlflow gc`, `dvc gc`)
must not run beside a backup; a file that goes away while it is copied is an error, not a gap.

A folder holds many backups that share their files: `NAME/manifest.json` (what there is, with SHA-256 of everything and
of itself), `NAME/database.sql.gz`, and `objects/ab/abcd…`, each content once. A manifest appears last: a backup that
was cut off is not there.
"""
