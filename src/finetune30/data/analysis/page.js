// Draws every plot in the page's own colours, and again when the system turns dark or light.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");

  function draw() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const narrow = innerWidth < 640;
    for (const place of document.querySelectorAll(".plot")) {
      const { data, layout } = JSON.parse(place.dataset.figure);
      layout.font = { family: style.fontFamily, size: narrow ? 11 : 13, color: colour("--ink") };
      layout.hoverlabel = { font: { family: style.fontFamily } };
      for (const axis of ["xaxis", "yaxis"]) {
        Object.assign(layout[axis], { gridcolor: colour("--line"), zerolinecolor: colour("--soft"), fixedrange: true });
        if (layout[axis].title) Object.assign(layout[axis].title, { font: { size: layout.font.size }, standoff: 8 });
      }
      Plotly.react(place, data, layout, { responsive: true, displayModeBar: false });
    }
  }

  dark.addEventListener("change", draw);
  draw();
})();
