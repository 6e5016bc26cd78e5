"""The networks that times are predicted of: keras.applications, networks of our own, public files."""
