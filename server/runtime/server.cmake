# The composition root: shards, the internal port, and the life of a process.
include(${CMAKE_CURRENT_LIST_DIR}/embedded.cmake)
pam_library(pam_runtime
  SOURCES demonstration.cpp dev.cpp internal_service.cpp render_metrics.cpp request_observer.cpp serve.cpp server.cpp
          server_reload.cpp load_tls.cpp
          breach_client.cpp server_room.cpp shard.cpp trace_exporter.cpp upkeep.cpp
  LINK pam_runtime_base pam_embedded pam_cli pam_api simdjson::simdjson)
target_link_libraries(pam_runtime PRIVATE CURL::libcurl)  # no header of ours shows it
