// swift-tools-version: 6.2
import PackageDescription

// The readers under libFuzzer. scripts/tools fuzz builds it, with the sanitizers on the command line: as they are needed in
// every module of the package above too, no setting here can ask for them.
let package = Package(
  name: "Fuzz",
  platforms: [.macOS(.v26)],
  dependencies: [.package(name: "Ingot", path: "..")],
  targets: [
    .target(
      name: "Readers", dependencies: [.product(name: "Ingot", package: "Ingot")],
      swiftSettings: [.swiftLanguageMode(.v6)]),
    .executableTarget(name: "ingot-fuzz", dependencies: ["Readers"]),
  ]
)
