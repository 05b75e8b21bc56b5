import IngotModels
import IngotSystem
import IngotTensors

/// The i-th of n shares of a model's work: whole experts, about as costly as the others.
public struct Share: Hashable, Sendable {
  /// From 0.
  public let index: Int
  public let count: Int

  /// - Returns: nil when there is no such share.
  public init?(index: Int, count: Int) {
    guard count > 0, count <= 9999, (0..<count).contains(index) else { return nil }
    (self.index, self.count) = (index, count)
  }

  /// `3/8` is the third of eight.
  public init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let number = Int(parts[0]), let count = Int(parts[1]) else { return nil }
    self.init(index: number - 1, count: count)
  }

  /// As people count.
  public var description: String { "share \(index + 1) of \(count)" }

  static let suffix = ".ingotshare"

  /// The file in a folder of shares.
  public func path(in folder: String) -> String { "\(folder)/share-\(index + 1)-of-\(count)\(Share.suffix)" }

  /// The tensors that it makes. All shares of a number have each tensor once, and shares are the same on every machine.
  ///
  /// Work is cut where an expert, or what experts of a layer share, ends; its cost is that of its weights, times the columns of each row
  /// where codes are chosen with statistics.
  public func roles(of model: Model, isCalibrated: Bool) -> Set<Role> {
    struct Group: Hashable {
      var layer: Int?
      var expert: Int?
      var role: Role?
    }
    var groups: [Group] = []
    var members: [Group: (roles: [Role], cost: Double)] = [:]
    for tensor in model.tensors {
      let role = tensor.role
      // Tensors of the whole model are each on their own.
      let group = Group(layer: role.layer, expert: role.expert, role: role.layer == nil ? role : nil)
      if members[group] == nil { groups.append(group) }
      let isChosen = isCalibrated && model.canQuantize(tensor)
      members[group, default: ([], 0)].roles.append(role)
      members[group]!.cost += Double(tensor.count) * (isChosen ? 64 + Double(tensor.columns) : 64)
    }
    let total = groups.reduce(0) { $0 + members[$1]!.cost }
    var before = 0.0
    var roles: Set<Role> = []
    for group in groups {
      let (own, cost) = members[group]!
      let place = total > 0 ? (before + cost / 2) / total * Double(count) : 0
      if min(Int(place), count - 1) == index { roles.formUnion(own) }
      before += cost
    }
    return roles
  }
}
