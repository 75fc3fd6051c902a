#include "server/runtime/embedded_failure.hpp"

#include <gtest/gtest.h>

namespace pam::runtime {
namespace {

struct failure_case {
  const char* name;
  const char* log;
  const char* expected;
};

class explained : public testing::TestWithParam<failure_case> {};

TEST_P(explained, failure_is_one_sentence_with_its_cure) {
  EXPECT_EQ(explain_failure(GetParam().log, "/data"), GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(
    embedded_failure, explained,
    testing::Values(
        failure_case{
            "disk_full",
            "2026-11-22 10:43:00.000 UTC [7] FATAL:  could not write lock file \"postmaster.pid\": No "
            "space left on device\n",
            "The disk that holds /data is full: free some space and start again."},
        failure_case{
            "other_version",
            "FATAL:  database files are incompatible with server\nDETAIL:  The data directory was "
            "initialized by PostgreSQL version 14\n",
            "/data was made by another major version of PostgreSQL: install that version, or move the "
            "folder away to start afresh."},
        failure_case{
            "in_use",
            "FATAL:  lock file \"postmaster.pid\" already exists\nHINT:  Is another postmaster (PID 12) "
            "running in data directory \"/data\"?\n",
            "/data is in use by another PostgreSQL: stop it, or choose another data folder."},
        failure_case{
            "damaged",
            "LOG:  invalid primary checkpoint record\nPANIC:  could not locate a valid checkpoint record\n",
            "The database in /data is damaged: restore it from a backup, or move the folder away to "
            "start afresh."},
        failure_case{"wrong_owner", "FATAL:  data directory \"/data\" has wrong ownership\n",
                     "/data belongs to another user: run as that user, or choose another data folder."},
        failure_case{"last_fatal_line",
                     "LOG:  starting PostgreSQL\nFATAL:  first reason\n2026 [1] FATAL:  invalid value for "
                     "parameter \"x\"\n2026 [2] FATAL:  the database system is starting up\nLOG:  database "
                     "system is shut down\n",
                     "PostgreSQL did not start with /data: invalid value for parameter \"x\"."},
        failure_case{"initdb", "creating directory\ninitdb: error: invalid locale name \"xx\"\n",
                     "PostgreSQL did not start with /data: invalid locale name \"xx\"."},
        failure_case{
            "silence", "",
            "PostgreSQL ended without a word while it started with /data: look into the system's log "
            "(out of memory?)."}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace pam::runtime
