from .run_store import RunStore as RunStore
