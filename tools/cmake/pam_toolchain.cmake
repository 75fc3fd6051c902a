# Language level, warnings, hardening and sanitizers: the same for every target, so that one
# precompiled header serves them all.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

option(PAM_WERROR "Treat warnings as errors" OFF)
option(PAM_HARDEN "Hardening flags of a release build" OFF)
set(PAM_SANITIZE "" CACHE STRING "Sanitizers, e.g. address,undefined or thread")

include(CheckPIESupported)
check_pie_supported()
# Libraries and executables share one precompiled header, which clang ties to the kind of code: both are
# compiled as -fPIC; executables are still linked -pie.
set(CMAKE_CXX_COMPILE_OPTIONS_PIE -fPIC)

add_library(pam_flags INTERFACE)
target_compile_options(pam_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast
  -Wnon-virtual-dtor -Woverloaded-virtual -Wformat=2 -Wimplicit-fallthrough -Wcast-align
  -Wextra-semi)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(pam_flags INTERFACE -Wthread-safety -Wdangling -Wunreachable-code-aggressive)
  # ccache can keep objects built with a precompiled header only when the header carries no time stamp.
  target_compile_options(pam_flags INTERFACE "SHELL:-Xclang -fno-pch-timestamp")
else()
  target_compile_options(pam_flags INTERFACE -Wduplicated-cond -Wlogical-op)
endif()
if(PAM_WERROR)
  target_compile_options(pam_flags INTERFACE -Werror)
endif()
if(PAM_HARDEN)
  target_compile_options(pam_flags INTERFACE
    -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection
    -fcf-protection -D_GLIBCXX_ASSERTIONS)
  target_link_options(pam_flags INTERFACE -Wl,-z,relro,-z,now)
endif()
if(PAM_SANITIZE)
  target_compile_options(pam_flags INTERFACE
    -fsanitize=${PAM_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_compile_definitions(pam_flags INTERFACE BOOST_ASIO_DISABLE_AWAITABLE_FRAME_RECYCLING)
  target_link_options(pam_flags INTERFACE -fsanitize=${PAM_SANITIZE})
endif()

# Asio and Beast are compiled once (server-wide, in async/third_party.cpp).
target_compile_definitions(pam_flags INTERFACE
  BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED
  SPDLOG_FMT_EXTERNAL)
target_include_directories(pam_flags INTERFACE ${CMAKE_SOURCE_DIR})
