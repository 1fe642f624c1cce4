"""Where readings go: what is written (`line_protocol`, pure), to whom (`influx`), what a database answers (`reply`)."""
