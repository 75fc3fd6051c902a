#pragma once

#include <algorithm>
#include <map>
#include <regex>
#include <set>
#include <string>

#include "db/statement.hpp"

namespace pam::tests {

/// The table a partition belongs to.
inline std::string parent_of(const std::string& relation) {
  static const std::regex suffix{"_[0-9]{6}([0-9]{2})?$"};
  return std::regex_replace(relation, suffix, "");
}

/// What EXPLAIN told of one statement.
struct seen_plan {
  std::set<std::string> seq_scans;
  std::set<std::string> indexes;
  std::map<std::string, std::set<std::string>> partitions;  ///< by parent
  bool has_sort = false;
  std::string buffers;  ///< pages of the whole statement, its catalogue look-ups done before
  std::string text;
};

inline std::string joined(const std::set<std::string>& names) {
  std::string text;
  for (const std::string& each : names) text += (text.empty() ? "" : " ") + each;
  return text.empty() ? "-" : text;
}

/// What a statement does to which tables, in its order: "update sessions; accounts, identities".
inline std::string summary_of(const std::string& sql) {
  static const std::regex names{R"((INSERT INTO|UPDATE|DELETE FROM|FROM|JOIN) (\w+))"};
  static const std::set<std::string> tables{"accounts",
                                            "claims",
                                            "identities",
                                            "sessions",
                                            "auth_events",
                                            "app_instances",
                                            "outbox",
                                            "token_cut",
                                            "partition_rules",
                                            "report_daily_sign_ups",
                                            "flow_states",
                                            "factors",
                                            "report_active",
                                            "one_time_tokens",
                                            "report_daily_events",
                                            "signing_keys",
                                            "partition_state",
                                            "schema_migrations",
                                            "report_daily_sessions"};
  std::string writes;
  std::set<std::string> reads;
  for (auto at = std::sregex_iterator{sql.begin(), sql.end(), names}; at != std::sregex_iterator{}; ++at) {
    const std::string verb = (*at)[1];
    if (!tables.contains((*at)[2])) continue;
    if (verb == "FROM" || verb == "JOIN") {
      reads.insert((*at)[2]);
    } else {
      writes += (writes.empty() ? "" : ", ") +
                std::string{verb == "UPDATE"        ? "update "
                            : verb == "DELETE FROM" ? "delete "
                                                    : "insert "} +
                std::string{(*at)[2]};
    }
  }
  std::string text = writes;
  for (const std::string& each : reads)
    text += (text.empty() ? "read " : each == *reads.begin() ? "; read " : ", ") + each;
  return text.empty() ? "its own bookkeeping" : text;
}

/// One line of the table in docs/database.md. An index of a partition is told as its table's.
inline std::string table_line(const pam::db::statement& what, const std::string& mode,
                              const seen_plan& plan) {
  std::size_t partitions = 0;
  for (const auto& [parent, some] : plan.partitions) partitions = std::max(partitions, some.size());
  std::set<std::string> indexes;
  for (const std::string& each : plan.indexes)
    indexes.insert(std::regex_replace(each, std::regex{"_[0-9]{6}([0-9]{2})?_"}, "_"));
  std::string scans = plan.has_sort ? ", sort" : "";
  std::set<std::string> whole;
  for (const std::string& each : plan.seq_scans) whole.insert(parent_of(each));
  if (!whole.empty()) scans += ", reads all of " + joined(whole);
  return "| `" + std::string{what.name.view()} + "` " + summary_of(std::string{what.sql}) + " | " + mode +
         scans + " | " + joined(indexes) + " | " + (partitions == 0 ? "-" : std::to_string(partitions)) +
         " | " + (plan.buffers.empty() ? "0" : plan.buffers) + " |\n";
}

}  // namespace pam::tests
