"""Tables, plots and the HTML page of an answer. Nothing is computed here.

`page` (the page), `kinds` (what each kind of answer is shown by), `terminal/` (on a terminal), `parts` (numbers, tables,
sections), `flags` and `rate_text` (how they are written). What pages say: `content` (find), `rate_content`,
`scale_content`, `search_content`, `surface_content`, `compare_page`, `field_page`, `forecast_page`, `predict_page`,
`psi_page`, `psi_network_page`, `schedule_page`. Charts: `charts` (find), `best_chart`, `share_chart`, `rate_charts`,
`scale_charts`, `search_charts` of `search_marks`, `surface_charts` of `panels`, `monitor_charts` of `monitor_rows`,
`stability_charts`; `chart_parts` and `loss_rows` are what they share, `data_table` their numbers
for who cannot see them.

It offers `stability_chart`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
