from .study import STUDY as STUDY
