# The composition root: shards, the internal port, and the life of a process.
pam_library(pam_runtime
  SOURCES internal_service.cpp render_metrics.cpp request_observer.cpp server.cpp shard.cpp
  LINK pam_runtime_base pam_api pam_async)
