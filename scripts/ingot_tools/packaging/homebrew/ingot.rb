# A formula that builds the command from a release's sources. Template: scripts/tools homebrew-formula writes it for a
# release, into Formula/ingot.rb of a tap.
class Ingot < Formula
  desc "Make large language models fit your hardware, and measure what it cost"
  homepage "https://github.com/@REPOSITORY@"
  url "https://github.com/@REPOSITORY@/archive/refs/tags/v@VERSION@.tar.gz"
  sha256 "@SHA256@"
  head "https://github.com/@REPOSITORY@.git", branch: "main"

  depends_on "pkgconf" => :build
  depends_on xcode: ["26.4", :build] # Swift 6.3
  depends_on macos: :tahoe
  depends_on "zstd"

  uses_from_macos "swift" => :build

  def install
    system "swift", "build", "--disable-sandbox", "-c", "release", "--product", "ingot"
    system "scripts/install", "--prefix", prefix, "--ingot", ".build/release/ingot"
  end

  test do
    assert_equal version.to_s, shell_output("#{bin}/ingot --version").strip
    assert_match "q4_k_m", shell_output("#{bin}/ingot recipes")
  end
end
