from .run import StudyAnswer as StudyAnswer
from .run import run_study as run_study

STUDIES: dict[str, str]
