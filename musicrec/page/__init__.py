"""The page: listeners, tracks, runs and services to look at, in a browser. It shows what services and artifacts say, and learns nothing."""
