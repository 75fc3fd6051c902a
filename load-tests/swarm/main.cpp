// The generator of users. `swarm seed` fills the tables, `swarm run` plays a share of the users.
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>

#include <CLI/CLI.hpp>

#include "load-tests/swarm/seed.hpp"
#include "load-tests/swarm/swarm.hpp"
#include "server/net/tls_buffers.hpp"

namespace {

struct population_options {
  std::string keys;
  std::string issuer = "https://localhost:8443/auth/v1";
  std::int64_t epoch = 0;
};

void add_population(CLI::App& to, population_options& into) {
  to.add_option("--keys", into.keys, "the server's key file: users start signed in")->required();
  to.add_option("--issuer", into.issuer, "server.site_url and server.prefix");
  to.add_option("--epoch", into.epoch, "Unix milliseconds that name the population")->required();
}

void add_plan(CLI::App& to, pam::load::swarm_plan& plan, double& think, std::int64_t& lifetime) {
  to.add_option("--address", plan.address, "IPv4 address of the server");
  to.add_option("--port", plan.port);
  to.add_option("--host", plan.host, "the Host field");
  to.add_option("--prefix", plan.prefix, "path in front of the API");
  to.add_option("--source", plan.source, "IPv4 address to connect from");
  to.add_option("--certificate", plan.certificate, "PEM file of the trust anchor")->required();
  to.add_option("--ledger", plan.ledger, "file for what the clients were told");
  to.add_option("--first", plan.first, "number of the first user");
  to.add_option("--users", plan.users)->check(CLI::Range(1, 19'900));
  to.add_option("--think", think, "mean seconds between a user's actions")->check(CLI::PositiveNumber);
  to.add_option("--ramp-factor", plan.ramp_factor, "think times while ramping are so much longer");
  to.add_option("--access-lifetime", lifetime, "seconds, as tokens.access_lifetime");
  to.add_option("--handshakes", plan.handshakes, "in flight while ramping")->check(CLI::PositiveNumber);
  to.add_flag("--resume", plan.keeps_sessions, "keep TLS session tickets and resume with them");
  to.add_option("--read", plan.read_share, "share of actions that read the user");
  to.add_option("--list", plan.list_share, "share that lists sessions");
  to.add_option("--refresh", plan.refresh_share, "share that refreshes; the rest signs out and in");
  to.add_option("--sign-ins", plan.sign_ins_per_second, "at most this many a second");
}

pam::load::population people_of(const population_options& from, const pam::crypto::key_ring& keys) {
  return {std::chrono::milliseconds{from.epoch}, keys, from.issuer};
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  population_options whose;
  pam::load::swarm_plan plan;
  std::uint32_t count = 0;
  std::string conninfo;
  double think = 30;
  std::int64_t lifetime = 300;
  CLI::App app{"Plays users of PAM Auth, not requests: see load-tests/README.md"};
  app.require_subcommand(1);
  CLI::App* const seed = app.add_subcommand("seed", "fill the tables with users who are signed in");
  add_population(*seed, whose);
  seed->add_option("--users", count)->required();
  seed->add_option("--database", conninfo, "libpq connection string, direct")->required();
  CLI::App* const run = app.add_subcommand("run", "play some of them; commands come on standard input");
  add_population(*run, whose);
  add_plan(*run, plan, think, lifetime);
  CLI11_PARSE(app, argc, argv);
  pam::net::keep_tls_buffers();  // as the server does: the generator should be lighter than what it measures
  try {
    auto keys = pam::crypto::key_ring::load(whose.keys);
    if (keys.has_error()) throw std::runtime_error(keys.error().detail);
    const pam::load::population people = people_of(whose, *keys);
    if (seed->parsed()) {
      pam::load::seed(people, count, conninfo);
      return 0;
    }
    plan.think = std::chrono::milliseconds{static_cast<std::int64_t>(think * 1000)};
    plan.access_lifetime = std::chrono::seconds{lifetime};
    pam::load::swarm crowd(plan, people, std::cout);
    return crowd.run();
  } catch (const std::exception& failure) {
    std::cerr << "swarm: " << failure.what() << "\n";
    return 1;
  }
}
