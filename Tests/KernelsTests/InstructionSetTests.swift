import IngotKernels
import Testing

@Suite struct InstructionSetTests {
  @Test func scalarIsAlwaysThereAndTheBestIsSupported() {
    #expect(InstructionSet.supported.first == .scalar)
    #expect(InstructionSet.supported.contains(.best))
  }

  /// What `INGOT_ISA` may hold.
  @Test func namesAreStable() {
    #expect(InstructionSet.allCases.map(\.rawValue) == ["scalar", "avx2", "avx512", "neon"])
  }
}
