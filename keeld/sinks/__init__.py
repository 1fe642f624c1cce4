"""Where readings go: what is written (`line_protocol`, pure), to whom (`influx`), and what a database answers (`reply`)."""
