"use strict";

// Two pictures of a window with a border between them, which a range input moves.
for (const figure of document.querySelectorAll(".compare")) {
  const stage = figure.querySelector(".stage"), border = stage.querySelector("input");
  const sides = [[".over", figure.querySelector(".left")], [".under", figure.querySelector(".right")]];
  const source = (key) => figure.querySelector(`img[data-key="${CSS.escape(key)}"]`).src;
  const title = (select) => select.selectedOptions[0].textContent;
  const show = () => {
    for (const [which, select] of sides) {
      const side = stage.querySelector(which), picture = side.querySelector(".top");
      picture.src = source(select.value);
      picture.alt = title(select);
      side.querySelector(".base").src = source("image");
      side.classList.toggle("mapped", /^(map-|label)/.test(select.value));
    }
    border.setAttribute("aria-label", `Border between ${title(sides[0][1])} on the left and ${title(sides[1][1])} on the right`);
  };
  const move = () => {
    stage.style.setProperty("--at", `${border.value}%`);
    border.setAttribute("aria-valuetext", `${border.value} % ${title(sides[0][1])}`);
  };
  border.addEventListener("input", move);
  for (const [, select] of sides) select.addEventListener("change", () => { show(); move(); });
  show();
  move();
}

for (const opacity of document.querySelectorAll("#patches .opacity")) {
  opacity.addEventListener("input", () => opacity.closest("section").style.setProperty("--opacity", opacity.value / 100));
}

// Which domain's points the feature clouds show.
for (const group of document.querySelectorAll(".toggles")) {
  const clouds = document.querySelector(".clouds");
  group.addEventListener("click", (event) => {
    const pressed = event.target.closest("button");
    if (!pressed) return;
    for (const button of group.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button === pressed));
    clouds.classList.toggle("only-source", pressed.dataset.show === "source");
    clouds.classList.toggle("only-target", pressed.dataset.show === "target");
  });
}

// The map: a view box that is moved and zoomed, and polygons that tell what they are.
for (const map of document.querySelectorAll(".map")) {
  const width = Number(map.dataset.width), height = Number(map.dataset.height), metres = Number(map.dataset.metres);
  const view = map.querySelector(".view"), svg = map.querySelector("svg"), mask = svg.querySelector(".mask");
  const chosen = svg.querySelector(".chosen"), said = map.querySelector(".said"), scale = map.querySelector(".scalebar");
  const names = JSON.parse(map.querySelector(".names").textContent);
  let centre = { x: width / 2, y: height / 2 }, zoom = 1;
  const fitted = () => Math.min(view.clientWidth / width, view.clientHeight / height); // screen pixels of a map pixel at zoom 1
  const clamp = (v, low, high) => Math.min(high, Math.max(low, v));

  const draw = () => {
    const shown = fitted() * zoom, w = view.clientWidth / shown, h = view.clientHeight / shown;
    centre = {
      x: w >= width ? width / 2 : clamp(centre.x, w / 2, width - w / 2),
      y: h >= height ? height / 2 : clamp(centre.y, h / 2, height - h / 2),
    };
    svg.setAttribute("viewBox", `${centre.x - w / 2} ${centre.y - h / 2} ${w} ${h}`);
    const long = (view.clientWidth / 4 / shown) * metres, unit = 10 ** Math.floor(Math.log10(long));
    const round = [5, 2, 1].find((n) => n * unit <= long) * unit;
    scale.querySelector("i").style.width = `${(round / metres) * shown}px`;
    scale.querySelector("b").textContent = round >= 1000 ? `${round / 1000} km` : `${round} m`;
  };
  const there = (x, y) => { // map position of a place on the screen
    const box = view.getBoundingClientRect(), shown = fitted() * zoom;
    return { x: centre.x + (x - box.left - box.width / 2) / shown, y: centre.y + (y - box.top - box.height / 2) / shown };
  };
  const zoomAt = (factor, x, y) => { // what lies under the place stays there
    const before = there(x, y);
    zoom = clamp(zoom * factor, 1, 40);
    const after = there(x, y);
    centre = { x: centre.x + before.x - after.x, y: centre.y + before.y - after.y };
    draw();
  };
  const middle = () => {
    const box = view.getBoundingClientRect();
    return [box.left + box.width / 2, box.top + box.height / 2];
  };
  const area = (a) => (a >= 1e6 ? `${(a / 1e6).toFixed(2)} km²` : a >= 1e4 ? `${(a / 1e4).toFixed(2)} ha` : `${a.toFixed(a < 10 ? 1 : 0)} m²`);
  const choose = (x, y) => {
    const polygon = document.elementsFromPoint(x, y).find((e) => e.matches(".mask path") && svg.contains(e));
    chosen.setAttribute("d", polygon ? polygon.getAttribute("d") : "");
    const { k, a, c } = polygon ? polygon.dataset : {};
    said.textContent = polygon
      ? `${names[k]}: ${area(Number(a))}${c ? `, confidence ${Math.round(100 * c)} %` : ""}`
      : "No class here: the scene has no data.";
  };

  const pointers = new Map();
  let moved = 0;
  view.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, event);
    moved = pointers.size > 1 ? Infinity : 0;
    view.classList.add("held");
  });
  view.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    moved += Math.hypot(event.clientX - last.clientX, event.clientY - last.clientY);
    if (moved > 4) {
      if (!view.hasPointerCapture(event.pointerId)) view.setPointerCapture(event.pointerId);
      const other = [...pointers.values()].find((p) => p.pointerId !== event.pointerId);
      if (other) {
        const apart = (p) => Math.hypot(p.clientX - other.clientX, p.clientY - other.clientY);
        zoomAt(apart(event) / Math.max(1, apart(last)), (event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2);
      }
      const shown = fitted() * zoom * (other ? 2 : 1); // of two fingers each moves the map by half
      centre = { x: centre.x - (event.clientX - last.clientX) / shown, y: centre.y - (event.clientY - last.clientY) / shown };
      draw();
    }
    pointers.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    view.addEventListener(end, (event) => {
      if (pointers.delete(event.pointerId) && end === "pointerup" && moved <= 4) choose(event.clientX, event.clientY);
      if (!pointers.size) view.classList.remove("held");
    });
  }
  view.addEventListener("wheel", (event) => { // the wheel alone scrolls the page
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoomAt(Math.exp(-event.deltaY / 400), event.clientX, event.clientY);
  }, { passive: false });
  view.addEventListener("dblclick", (event) => zoomAt(2, event.clientX, event.clientY));

  const all = () => { zoom = 1; centre = { x: width / 2, y: height / 2 }; draw(); };
  const step = (dx, dy) => {
    const shown = fitted() * zoom;
    centre = { x: centre.x + (dx * view.clientWidth) / shown / 8, y: centre.y + (dy * view.clientHeight) / shown / 8 };
    draw();
  };
  const keys = {
    ArrowLeft: () => step(-1, 0), ArrowRight: () => step(1, 0), ArrowUp: () => step(0, -1), ArrowDown: () => step(0, 1),
    "+": () => zoomAt(1.5, ...middle()), "=": () => zoomAt(1.5, ...middle()), "-": () => zoomAt(1 / 1.5, ...middle()),
    0: all, Enter: () => choose(...middle()), " ": () => choose(...middle()),
  };
  view.addEventListener("keydown", (event) => {
    const act = !event.ctrlKey && !event.metaKey && !event.altKey && keys[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  const buttons = { in: () => zoomAt(1.5, ...middle()), out: () => zoomAt(1 / 1.5, ...middle()), all };
  for (const button of map.querySelectorAll("[data-do]")) button.addEventListener("click", buttons[button.dataset.do]);
  const opacity = map.querySelector(".opacity");
  opacity.addEventListener("input", () => mask.setAttribute("opacity", opacity.value / 100));
  new ResizeObserver(draw).observe(view);
  draw();
}
