#include "server/crypto/key_set.hpp"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "server/crypto/key_file_text.hpp"
#include "server/crypto/tests/support.hpp"

namespace pam::crypto {
namespace {

using namespace std::chrono_literals;
using test::expectation;
using test::good_claims;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

const auto today = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());

key_set fresh_set() {
  return *key_set::parse(*key_ring::generate());
}

rotation at(std::chrono::sys_seconds now, std::chrono::seconds lead = 20min) {
  rotation how;
  how.now = now;
  how.lead = lead;
  return how;
}

std::vector<std::string> states_of(const key_set& set, std::string_view use) {
  std::vector<std::string> states;
  for (const key_facts& each : set.facts()) {
    if (each.use == use) states.push_back(each.state);
  }
  return states;
}

key_ring ring_of(const key_set& set) {
  auto ring = key_ring::parse(set.text().view());
  EXPECT_TRUE(ring.has_value()) << (ring.has_error() ? ring.error().detail : "");
  return std::move(*ring);
}

std::string kid_in(const std::string& jwt, const key_ring& ring) {
  const auto verified = ring.verify(jwt, expectation());
  return verified.has_value() ? verified->key_id : "(" + verified.error().detail + ")";
}

TEST(key_set, says_what_a_file_holds_and_no_secret) {
  const key_set set = fresh_set();

  ASSERT_THAT(set.facts(), SizeIs(3));
  EXPECT_EQ(set.facts()[0].use, "user");
  EXPECT_EQ(set.facts()[0].algorithm, "ES256");
  EXPECT_EQ(set.facts()[2].algorithm, "HMAC-SHA256");
}

TEST(key_set, keeps_every_member_of_every_key) {
  const std::string before =
      test::key_set({test::key(test::rsa_members, "user", "current", R"("kid":"u","note":["a",{"b":1}])"),
                     test::key(test::other_ec_members, "machine", "current", R"("kid":"m")"),
                     test::key(test::refresh_members, "refresh", "current", R"("kid":"7")")});

  const auto set = key_set::parse(before);

  ASSERT_TRUE(set.has_value()) << set.error().detail;
  EXPECT_THAT(std::string{set->text().view()}, HasSubstr(R"("note":["a",{"b":1}])"));
  const auto jwt = test::ring_of(before).sign(key_use::user, good_claims());
  EXPECT_EQ(kid_in(*jwt, ring_of(*set)), "u");
}

TEST(key_set, refuses_what_a_ring_refuses) {
  EXPECT_EQ(key_set::parse("{}").error().code, errc::bad_key);
  EXPECT_EQ(key_set::parse(R"({"keys":[]})").error().code, errc::bad_key);
  EXPECT_EQ(key_set::parse("no json").error().code, errc::bad_key);
}

TEST(key_set, a_rotation_adds_keys_that_are_published_and_verify_but_do_not_sign_yet) {
  key_set set = fresh_set();
  const key_ring before = ring_of(set);

  const auto made = set.rotate(at(today));

  ASSERT_TRUE(made.has_value()) << made.error().detail;
  EXPECT_THAT(*made, SizeIs(3));
  EXPECT_THAT(states_of(set, "user"), ElementsAre("current", "next"));
  const key_ring after = ring_of(set);
  EXPECT_THAT(after.public_jwks(), HasSubstr((*made)[0]));
  EXPECT_EQ(kid_in(*after.sign(key_use::user, good_claims()), before),
            kid_in(*before.sign(key_use::user, good_claims()), before));
  EXPECT_TRUE(before.is_genuine(after.first_refresh_token({}, {})));
}

TEST(key_set, all_keys_change_over_at_their_moment_and_the_old_ones_verify_on) {
  key_set set = fresh_set();
  const key_ring before = ring_of(set);
  const auto old_jwt = *before.sign(key_use::user, good_claims());
  const auto old_machine = *before.sign(key_use::machine, good_claims());
  const auto old_refresh = before.first_refresh_token({}, {});
  const auto made = *set.rotate(at(today - 1h));  // their moment was 40 minutes ago

  const key_ring after = ring_of(set);

  EXPECT_EQ(kid_in(*after.sign(key_use::user, good_claims()), after), made[0]);
  EXPECT_EQ(kid_in(*after.sign(key_use::machine, good_claims()), after), made[1]);
  EXPECT_NE(after.first_refresh_token({}, {}).key_id, old_refresh.key_id);
  EXPECT_TRUE(after.verify(old_jwt, expectation()).has_value());
  EXPECT_TRUE(after.verify(old_machine, expectation()).has_value());
  EXPECT_TRUE(after.is_genuine(old_refresh));
}

TEST(key_set, settling_writes_down_what_time_has_done) {
  key_set set = fresh_set();
  (void)set.rotate(at(today - 1h));
  const std::string before = kid_in(*ring_of(set).sign(key_use::user, good_claims()), ring_of(set));

  set.settle(today);

  EXPECT_THAT(states_of(set, "user"), ElementsAre("previous", "current"));
  EXPECT_THAT(states_of(set, "machine"), ElementsAre("previous", "current"));
  EXPECT_THAT(states_of(set, "refresh"), ElementsAre("previous", "current"));
  EXPECT_EQ(kid_in(*ring_of(set).sign(key_use::user, good_claims()), ring_of(set)), before);
  EXPECT_EQ(set.facts()[0].retired, (today - 1h + 20min).time_since_epoch().count());
}

TEST(key_set, a_rotation_waits_for_the_one_before_it) {
  key_set set = fresh_set();
  (void)set.rotate(at(today));

  EXPECT_THAT(*set.rotate(at(today + 10min)), IsEmpty());
  EXPECT_THAT(*set.rotate(at(today + 21min)), SizeIs(3));
}

TEST(key_set, young_keys_are_left_alone_by_a_daily_job) {
  key_set set = fresh_set();
  rotation daily = at(today);
  daily.min_age = 24h * 30;
  EXPECT_THAT(*set.rotate(daily), SizeIs(3)) << "keys that do not know their age are old";
  daily.now = today + 24h * 29;
  EXPECT_THAT(*set.rotate(daily), IsEmpty());
  daily.now = today + 24h * 31;
  EXPECT_THAT(*set.rotate(daily), SizeIs(3));
}

TEST(key_set, one_use_can_be_rotated_alone) {
  key_set set = fresh_set();
  rotation how = at(today);
  how.uses = {"refresh"};

  EXPECT_THAT(*set.rotate(how), SizeIs(1));
  EXPECT_THAT(states_of(set, "refresh"), ElementsAre("current", "next"));
  EXPECT_THAT(states_of(set, "user"), ElementsAre("current"));
}

TEST(key_set, pruning_keeps_what_something_alive_was_signed_with) {
  key_set set = fresh_set();
  (void)set.rotate(at(today));
  const auto retired = today + 20min;

  EXPECT_THAT(set.prune(retired + 24h, {}), IsEmpty());
  EXPECT_THAT(set.prune(retired + 25h, {}), SizeIs(1));  // the user key
  EXPECT_THAT(states_of(set, "user"), ElementsAre("current"));
  EXPECT_THAT(set.prune(retired + 24h * 31 - 1s, {}), IsEmpty());
  EXPECT_THAT(set.prune(retired + 24h * 31, {}), SizeIs(1));  // the refresh key
  EXPECT_THAT(states_of(set, "machine"), ElementsAre("previous", "current"));
}

TEST(key_set, pruning_takes_the_private_half_of_keys_that_only_verify) {
  key_set set = fresh_set();
  const auto jwt = *ring_of(set).sign(key_use::user, good_claims());
  (void)set.rotate(at(today - 1h));

  (void)set.prune(today, {});

  const std::string text{set.text().view()};
  std::size_t private_halves = 0;
  for (auto from = text.find("\"d\":"); from != std::string::npos; from = text.find("\"d\":", from + 1))
    ++private_halves;
  EXPECT_EQ(private_halves, 2U);  // of the current user and machine keys
  EXPECT_TRUE(ring_of(set).verify(jwt, expectation()).has_value());
}

TEST(key_ring_exchange, gives_every_holder_the_new_keys_and_another_epoch) {
  key_ring ring = test::standard_ring();
  const auto old_token = *ring.sign(key_use::user, good_claims());
  const auto epoch = ring.epoch();
  key_set set = fresh_set();

  ring.exchange(ring_of(set));

  EXPECT_NE(ring.epoch(), epoch);
  EXPECT_EQ(ring.verify(old_token, expectation()).error().code, errc::unknown_key);
  EXPECT_TRUE(ring.verify(*ring.sign(key_use::user, good_claims()), expectation()).has_value());
}

class sealed_key_file : public testing::Test {
 protected:
  sealed_key_file() {
    std::string pattern = (std::filesystem::temp_directory_path() / "pam_seal_XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~sealed_key_file() override { std::filesystem::remove_all(folder_); }
  std::string write(const std::string& name, std::string_view text) {
    const std::string file = folder_ + "/" + name;
    std::ofstream{file} << text;
    std::filesystem::permissions(file,
                                 std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    return file;
  }
  std::string folder_;
};

TEST_F(sealed_key_file, opens_under_its_key_and_under_no_other) {
  const std::string keys = *key_ring::generate();
  const auto mine = *sealer::parse(sealer::generate().view());
  const auto other = *sealer::parse(sealer::generate().view());
  const std::string file = write("keys", seal_key_text(mine, keys).view());

  const auto opened = read_key_text(file, &mine);

  ASSERT_TRUE(opened.has_value()) << opened.error().detail;
  EXPECT_EQ(opened->view(), keys);
  EXPECT_TRUE(key_ring::load(file, &mine).has_value());
  EXPECT_THAT(read_key_text(file, &other).error().detail, HasSubstr("cannot be opened"));
  EXPECT_THAT(key_ring::load(file).error().detail, HasSubstr("keys.encryption_key_file"));
}

TEST_F(sealed_key_file, shows_nothing_of_the_keys) {
  const auto mine = *sealer::parse(sealer::generate().view());

  const secret text = seal_key_text(mine, *key_ring::generate());

  EXPECT_THAT(std::string{text.view()}, Not(HasSubstr("kty")));
}

TEST_F(sealed_key_file, that_was_changed_or_cut_is_refused) {
  const auto mine = *sealer::parse(sealer::generate().view());
  const std::string good{seal_key_text(mine, *key_ring::generate()).view()};
  std::string changed = good;
  changed[100] = changed[100] == 'A' ? 'B' : 'A';

  EXPECT_FALSE(read_key_text(write("changed", changed), &mine).has_value());
  EXPECT_FALSE(read_key_text(write("cut", good.substr(0, good.size() / 2)), &mine).has_value());
  EXPECT_FALSE(read_key_text(write("mark", good.substr(0, 19)), &mine).has_value());
}

TEST_F(sealed_key_file, takes_its_key_from_a_command) {
  const secret kek = sealer::generate();
  const std::string file = write("kek", kek.view());
  const auto mine = *sealer::parse(kek.view());
  const std::string keys = write("keys", seal_key_text(mine, *key_ring::generate()).view());

  const auto asked = sealer_from_command("cat '" + file + "'");

  ASSERT_TRUE(asked.has_value()) << asked.error().detail;
  EXPECT_TRUE(key_ring::load(keys, &*asked).has_value());
}

TEST_F(sealed_key_file, says_why_a_command_gave_no_key) {
  EXPECT_THAT(sealer_from_command("exit 3").error().detail, HasSubstr("failed"));
  EXPECT_THAT(sealer_from_command("echo nonsense").error().detail, HasSubstr("JSON"));
  EXPECT_THAT(sealer_from_command("head -c 70000 /dev/zero").error().detail, HasSubstr("64 KB"));
  EXPECT_THAT(
      sealer_from_command("cat '" + write("kek", sealer::generate().view()) + "'; exit 1").error().detail,
      HasSubstr("failed"));
}

}  // namespace
}  // namespace pam::crypto
