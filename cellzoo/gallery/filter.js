"use strict";
const form = document.getElementById("filter");
const input = document.getElementById("words");
const family = document.getElementById("family");
const shown = document.getElementById("shown");
const cards = [...document.querySelectorAll("article")];
const sections = [...document.querySelectorAll("section")];

function filter() {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const card of cards) {
    const wanted = !family.value || card.closest("section").dataset.family === family.value;
    card.hidden = !wanted || !words.every((word) => card.dataset.words.includes(word));
    count += !card.hidden;
  }
  for (const section of sections) {
    section.hidden = !section.querySelector("article:not([hidden])");
  }
  shown.textContent = words.length || family.value ? `${count} of ${cards.length} cells` : "";
}

form.hidden = false;
form.addEventListener("submit", (event) => event.preventDefault());
input.addEventListener("input", filter);
family.addEventListener("change", filter);
filter();
