# pam_library(name [PCH] SOURCES ... LINK ...)   a static library of ours
# pam_test(name KIND unit|pg SOURCES ... LINK ...)   one GoogleTest executable, one ctest entry
# pam_tool(name SOURCES ... LINK ...)            what loads or measures the product; the target `tools` builds them all
# pam_bench(name SOURCES ... LINK ...)           one Google Benchmark executable, a tool as well
# One precompiled header (async/pch.hpp) is built once and reused by every target.
include(GoogleTest)

function(pam_use_pch target)
  if(NOT target STREQUAL "pam_async")
    target_precompile_headers(${target} REUSE_FROM pam_async)
    # The header declares Asio's separately compiled functions, and inline code of it may call them.
    target_link_libraries(${target} PRIVATE pam_async)
  endif()
endfunction()

function(pam_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC pam_flags ${arg_LINK})
  pam_use_pch(${name})
endfunction()

function(pam_executable name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE pam_flags ${arg_LINK})
  pam_use_pch(${name})
endfunction()

function(pam_test name)
  cmake_parse_arguments(arg "" "KIND" "SOURCES;LINK" ${ARGN})
  pam_executable(${name} SOURCES ${arg_SOURCES} LINK ${arg_LINK} GTest::gmock GTest::gtest_main)
  # KIND unit: pure. KIND pg: needs the services of tests/CMakeLists.txt.
  if(arg_KIND STREQUAL "unit")
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT 300)
  else()
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES LABELS ${arg_KIND} TIMEOUT 600
      FIXTURES_REQUIRED services
      ENVIRONMENT "PAM_TEST_SERVICES=${CMAKE_BINARY_DIR}/services/env")
  endif()
endfunction()

add_custom_target(tools)

function(pam_tool name)
  pam_executable(${name} ${ARGN})
  add_dependencies(tools ${name})
  # Nothing is measured under a sanitizer.
  if(PAM_SANITIZE)
    set_target_properties(${name} PROPERTIES EXCLUDE_FROM_ALL TRUE)
  endif()
endfunction()

function(pam_bench name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  pam_tool(${name} SOURCES ${arg_SOURCES} LINK ${arg_LINK} pam_bench_main)
endfunction()
