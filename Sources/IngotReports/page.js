"use strict";
(function () {
  var report = null;
  // The number of a cell: `key` leads to rows of columns, or with a `*` for the row to columns.
  function value(key, row, column) {
    if (report === null) report = JSON.parse(document.getElementById("report").textContent);
    var found = report;
    key.split(".").forEach(function (part) {
      if (found !== null) { if (found !== undefined) found = found[part === "*" ? row : part]; }
    });
    if (Array.isArray(found[row])) found = found[row];
    return found[column];
  }
  function copy(text, button) {
    function done() {
      button.textContent = "Copied";
      setTimeout(function () { button.textContent = "Copy"; }, 1500);
    }
    function old() {
      var area = document.createElement("textarea");
      area.value = text;
      area.className = "offscreen";
      document.body.appendChild(area);
      area.select();
      if (document.execCommand("copy")) done();
      area.remove();
    }
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, old);
    else old();
  }
  document.querySelectorAll("button.copy").forEach(function (button) {
    button.hidden = false;
    button.addEventListener("click", function () {
      var table = button.closest(".table").querySelector("table");
      copy(Array.from(table.rows).map(function (row) {
        return Array.from(row.cells).map(function (cell) {
          return cell.innerText.replace(/\s+/g, " ").trim();
        }).join("\t");
      }).join("\n"), button);
    });
  });
  document.querySelectorAll("svg.heat").forEach(function (map) {
    var grid = map.dataset.grid.split(" ").map(Number);
    var readout = map.closest("figure").querySelector("output");
    map.addEventListener("pointermove", show);
    map.addEventListener("pointerdown", show);
    function show(event) {
      var box = map.getBoundingClientRect();
      var scale = map.viewBox.baseVal.width / box.width;
      var column = Math.floor(((event.clientX - box.left) * scale - grid[0]) / grid[2]);
      var row = Math.floor(((event.clientY - box.top) * scale - grid[1]) / grid[3]);
      if (0 > column || 0 > row || column >= grid[4] || row >= grid[5]) return;
      var found = value(map.dataset.heat, row, column);
      readout.textContent = "layer " + row + ", expert " + column + ": " + (typeof found === "number"
        ? Number((found * map.dataset.scale).toPrecision(4)) + map.dataset.unit : "nothing measured");
    }
  });
})();
