from .eta_star.eta_star import EtaStar as EtaStar
from .eta_star.eta_star import Precision as Precision
from .eta_star.success_band import SuccessBand as SuccessBand
from .search.optuna_search import OptunaSearch as OptunaSearch
from .search.search_space import Space as Space
from .surface.surface import Surface as Surface
