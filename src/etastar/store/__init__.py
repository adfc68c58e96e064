"""The store: no lane is trained twice.

`run_store` (what is stored), `rows` (an outcome in its tables), `schema` (the tables), `database` (opening one), `sqlite`
and `postgres` (what only one of them has); `saving`, `patience` and `unsaved` (nothing trained is lost), `snapshot_folder`
(long lanes go on), `again` (lanes whose monitors have not read), `sound` (rows are checked when read), `summary`;
`fingerprint` and `lane_key`, with `contents`, `description` and `origin` (what makes two problems, two lanes one);
`optuna_study` (a search's trials as an Optuna study).

It offers `RunStore`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
