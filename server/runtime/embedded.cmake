# The private PostgreSQL and the certificate of `pam-auth dev`. Included by server/runtime/CMakeLists.txt and
# by migrations/CMakeLists.txt, whichever comes first.
include_guard(GLOBAL)

set(pam_embedded_folder ${CMAKE_CURRENT_LIST_DIR})
pam_library(pam_embedded
  SOURCES
    ${pam_embedded_folder}/dev_certificate.cpp
    ${pam_embedded_folder}/embedded_failure.cpp
    ${pam_embedded_folder}/embedded_folder.cpp
    ${pam_embedded_folder}/embedded_postgres.cpp
    ${pam_embedded_folder}/embedded_process.cpp
  LINK pam_migrate pam_db PkgConfig::libpq OpenSSL::Crypto)
