// swift-tools-version: 6.2
import PackageDescription

// Programs that use the library from another package.
let package = Package(
  name: "examples",
  platforms: [.macOS(.v26)],
  dependencies: [.package(name: "Ingot", path: "..")],
  targets: [
    .executableTarget(
      name: "quantize-and-verify", dependencies: [.product(name: "Ingot", package: "Ingot")],
      swiftSettings: [.swiftLanguageMode(.v6)])
  ]
)
