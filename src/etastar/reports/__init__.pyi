from .stability_charts import stability_chart as stability_chart
