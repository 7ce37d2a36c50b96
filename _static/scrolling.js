// What scrolls within itself (code, tables, formulas, figures) can be reached
// and scrolled by keyboard, and is no stop for the keyboard when all of it shows.
document.addEventListener("DOMContentLoaded", () => {
  const boxes = "pre, .math, figure, .output, .pst-scrollable-table-container";
  const update = (box) => {
    if (box.scrollWidth > box.clientWidth + 1
        && /auto|scroll/.test(getComputedStyle(box).overflowX)) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  };
  const observer = new ResizeObserver((entries) => entries.forEach(
    ({ target }) => update(target.matches(boxes) ? target : target.parentElement)));
  document.querySelectorAll(`article :is(${boxes})`).forEach((box) => {
    observer.observe(box);
    // a formula is set, or a picture comes, without a change of its box
    if (box.firstElementChild) observer.observe(box.firstElementChild);
  });
});
