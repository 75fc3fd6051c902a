#include "server/runtime/pool_plan.hpp"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/runtime/descriptor_limit.hpp"

namespace pam::runtime {
namespace {

using ::testing::HasSubstr;
using kind = room_verdict::kind;

configuration configured(const std::string& toml) {
  auto read = parse_config(toml, "pam.toml", {});
  EXPECT_TRUE(read.has_value());
  return std::move(*read);
}

/// 3 processes x 4 shards x (1 pipeline + 4 leases).
pool_shape shape() {
  pool_shape some;
  some.processes = 3;
  some.shards = 4;
  return some;
}

room_limit postgres(std::uint64_t max_connections) {
  room_limit limit;
  limit.grants = max_connections - 3;
  limit.reserved = 3;
  limit.said = "PostgreSQL grants " + std::to_string(limit.grants);
  limit.setting = "max_connections";
  limit.counts = room_limit::use::with_commands;
  return limit;
}

room_limit pooler(std::uint64_t grants, room_limit::use counts, room_limit::beyond how) {
  room_limit limit;
  limit.grants = grants;
  limit.said = "PgBouncer has " + std::to_string(grants);
  limit.setting = "pool_size";
  limit.counts = counts;
  limit.how = how;
  return limit;
}

TEST(pool_plan, every_purpose_has_its_sum) {
  pool_shape some = shape();
  some.replicas = 2;
  some.pooled_replicas = 1;

  EXPECT_EQ(some.of_process(), 20U);
  EXPECT_EQ(some.sum(), 60U);
  EXPECT_EQ(some.peak(), 120U);
  EXPECT_EQ(some.of_process_to_replica(), 4U);
  EXPECT_EQ(some.replica_peak(), 24U);
  // Each process: 20 to the primary, 4 to the pooled replica, a look at the console of each by each shard.
  EXPECT_EQ(some.pooler_peak(), 2U * 3U * (20U + 4U + 8U));
  EXPECT_EQ(pool_plan_text(some),
            "to the primary: 3 processes x 4 shards x (1 pipeline + 4 leases) = 60 connections, 120 while "
            "successors take over\n"
            "to each of 2 replicas: 3 processes x 4 shards = 12 connections, 24 while successors take over\n"
            "to a pooler's console: one for a moment by each shard that connects, so 192 clients of it at "
            "most\n"
            "of commands, directly (maintain, migrate): 3\n");
}

TEST(pool_plan, whoever_cannot_run_beside_a_successor_needs_no_room_for_one) {
  pool_shape some = shape();
  some.may_run_beside_successor = false;

  EXPECT_EQ(some.peak(), 60U);
  EXPECT_EQ(some.replica_peak(), 12U);
  EXPECT_EQ(pool_peak_text(some), "3 processes x 4 shards x (1 pipeline + 4 leases) = 60 connections");
}

TEST(pool_plan, is_made_from_the_configuration) {
  const auto settings = configured(
      "[server]\nprocesses = 3\nshards = 4\n[database]\nhosts = [\"db:6432\"]\npipelines = 2\nleases = 5\n"
      "replicas = [\"reader@db:6432\", \"standby:5432\"]\n");

  const pool_shape some = pool_shape_of(settings);

  EXPECT_EQ(some.processes, 3U);
  EXPECT_EQ(some.of_process(), 4U * 7U);
  EXPECT_EQ(some.replicas, 2U);
  EXPECT_EQ(some.pooled_replicas, 1U);
  EXPECT_TRUE(some.may_run_beside_successor);
  EXPECT_EQ(pool_shape_of(settings, 7).processes, 7U);
}

TEST(pool_plan, without_a_shared_port_and_a_control_socket_nobody_runs_beside_a_successor) {
  EXPECT_FALSE(pool_shape_of(configured("[server]\nshards = 1\n[listen]\nreuse_port = false\n"))
                   .may_run_beside_successor);
  EXPECT_TRUE(
      pool_shape_of(configured("[server]\nshards = 1\ncontrol_socket = \"/run/pam/control\"\n[listen]\n"
                               "reuse_port = false\n"))
          .may_run_beside_successor);
}

TEST(pool_plan, fits_up_to_the_last_connection) {
  // 120 of the pools and 3 of commands.
  EXPECT_EQ(judge_room(shape(), {postgres(126)}).what, kind::fits);
  EXPECT_EQ(judge_room(shape(), {postgres(125)}).what, kind::refused);
  EXPECT_EQ(judge_room(shape(), {}).what, kind::fits);
}

TEST(pool_plan, what_does_not_fit_is_told_with_the_numbers_the_setting_and_the_right_value) {
  const room_verdict verdict = judge_room(shape(), {postgres(100)});

  // 3 x 4 x (1 + 2) x 2 = 72, and 3 of commands; with 3 leases it would be 99.
  EXPECT_EQ(
      verdict.sentence,
      "3 processes x 4 shards x (1 pipeline + 4 leases) = 60 connections, 120 while successors take over, "
      "with 3 of commands (maintain, migrate) 123, but PostgreSQL grants 97: set database.leases to 2, or "
      "raise max_connections to 126");
}

TEST(pool_plan, where_leases_are_not_enough_shards_are_named_and_where_nothing_is_only_the_limit) {
  EXPECT_THAT(judge_room(shape(), {postgres(50)}).sentence, HasSubstr("set server.shards to 1, or raise"));
  EXPECT_THAT(judge_room(shape(), {postgres(10)}).sentence,
              HasSubstr("PostgreSQL grants 7: raise max_connections to 126"));
}

TEST(pool_plan, a_pool_in_which_others_wait_is_no_refusal_and_is_held_against_the_usual_sum) {
  const auto waits = [](std::uint64_t grants) {
    return pooler(grants, room_limit::use::pools, room_limit::beyond::waits);
  };

  EXPECT_EQ(judge_room(shape(), {waits(60)}).what, kind::fits);
  const room_verdict verdict = judge_room(shape(), {waits(59)});
  EXPECT_EQ(verdict.what, kind::waits);
  EXPECT_THAT(verdict.sentence, HasSubstr("= 60 connections, but PgBouncer has 59: set database.leases to 3, "
                                          "or raise pool_size to 60"));
}

TEST(pool_plan, a_limit_that_refuses_wins_over_one_that_lets_wait) {
  const auto waits = pooler(1, room_limit::use::pools, room_limit::beyond::waits);
  const auto refuses = pooler(143, room_limit::use::pooler_clients, room_limit::beyond::refused);

  for (const auto& limits : {std::vector{waits, refuses}, std::vector{refuses, waits}}) {
    const room_verdict verdict = judge_room(shape(), limits);
    EXPECT_EQ(verdict.what, kind::refused);
    EXPECT_THAT(verdict.sentence, HasSubstr("with looks at the console 144, but PgBouncer has 143"));
  }
}

TEST(queue, is_long_enough_where_everybody_who_is_admitted_finds_a_place) {
  EXPECT_FALSE(judge_queue(queue_shape_of(configuration{})));
  EXPECT_FALSE(judge_queue({.queue = 30, .reads = 10, .writes = 20}));
}

TEST(queue, one_that_is_too_short_is_told_with_both_numbers_and_the_values_that_are_right) {
  const auto settings = configured("[database]\nqueue_limit = 4096\n[admission]\nwrite = 1000\n");

  const auto found = judge_queue(queue_shape_of(settings));

  ASSERT_TRUE(found);
  EXPECT_EQ(found->text,
            "database.queue_limit is 4096, but admission.read + admission.write let in 4096 + 1000 = 5096 "
            "requests");
  EXPECT_EQ(found->cure,
            "set database.queue_limit to 5096, or lower admission.read and admission.write to 4096 together");
}

TEST(descriptors, those_of_clients_are_what_databases_loops_and_files_leave) {
  pool_shape some;
  some.shards = 4;
  const std::uint64_t ours = descriptors_beside_clients(some);

  EXPECT_EQ(clients_that_fit(some, 15'000, ours + 4 * 15'000), 15'000U);
  EXPECT_EQ(clients_that_fit(some, 15'000, ours + 4 * 15'000 - 1), 14'999U);
  EXPECT_EQ(clients_that_fit(some, 15'000, 20'000), (20'000 - ours) / 4);
  EXPECT_EQ(clients_that_fit(some, 15'000, ours + 4 * least_clients), least_clients);
  EXPECT_EQ(clients_that_fit(some, 15'000, ours + 4 * least_clients - 1), 0U);
  EXPECT_EQ(clients_that_fit(some, 15'000, ours), 0U);
  EXPECT_EQ(clients_that_fit(some, 5, ours + 4 * 5), 5U) << "less than the least, but all that is wanted";
}

TEST(descriptors, more_pipelines_leases_and_replicas_leave_fewer) {
  const pool_shape some;
  for (auto more :
       {&pool_shape::pipelines, &pool_shape::leases, &pool_shape::replicas, &pool_shape::shards}) {
    pool_shape other = some;
    other.*more += 1;
    EXPECT_GT(descriptors_beside_clients(other), descriptors_beside_clients(some));
  }
}

TEST(descriptors, lower_the_limit_of_connections_once_and_say_what_it_was) {
  auto settings = configured("[server]\nshards = 4\n");

  const auto lowered = fit_to_descriptors(settings, 20'000);
  ASSERT_TRUE(lowered.has_value());
  EXPECT_EQ(*lowered, 15'000U);
  EXPECT_EQ(settings.limits.connections, (20'000 - descriptors_beside_clients(pool_shape_of(settings))) / 4);
  EXPECT_EQ(*fit_to_descriptors(settings, 20'000), 0U);
}

TEST(descriptors, leave_a_limit_that_fits_alone) {
  auto settings = configured("[server]\nshards = 4\n");

  EXPECT_EQ(*fit_to_descriptors(settings, std::numeric_limits<std::uint64_t>::max()), 0U);
  EXPECT_EQ(settings.limits.connections, 15'000U);
}

TEST(descriptors, too_few_for_anybody_are_refused_with_the_number_that_is_enough) {
  auto settings = configured("[server]\nshards = 4\n");

  const auto lowered = fit_to_descriptors(settings, 256);

  ASSERT_TRUE(lowered.has_error());
  EXPECT_THAT(lowered.error().message, HasSubstr("(RLIMIT_NOFILE) is 256, but 4 shards need 284 at least"));
  EXPECT_THAT(lowered.error().message, HasSubstr("to 60220 for all of limits.connections"));
  EXPECT_EQ(settings.limits.connections, 15'000U);
}

}  // namespace
}  // namespace pam::runtime
