// Times and days in the viewer's zone and language. The server has set them for
// its own.

// Of the viewer's languages, the one of the page: it may name a region.
const page = document.documentElement.lang;
const lang = navigator.languages.find(l => l.slice(0, 2) === page.slice(0, 2)) || page;
const clock = new Intl.DateTimeFormat(lang, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const full = new Intl.DateTimeFormat(lang, { dateStyle: 'full', timeStyle: 'medium' });
const dayName = new Intl.DateTimeFormat(lang, { weekday: 'long', year: 'numeric', month: 'long', day: 'numeric' });

export const clockTime = at => clock.format(at);

// localize shows a row's time in the viewer's zone.
export const localize = (time, at) => {
	if (time.dataset.local) return;
	time.dataset.local = time.textContent = clock.format(at);
	time.title = full.format(at);
};

// dayOf names the day of a time, '' for a time that is none.
export const dayOf = at => isNaN(at) ? '' : at.toDateString();

// dayLine is the line that stands before the first row of a day.
export const dayLine = at => {
	const line = document.createElement('li');
	const name = document.createElement('time');
	const pad = n => String(n).padStart(2, '0');
	line.className = 'day';
	line.dataset.day = dayOf(at);
	name.dateTime = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
	name.textContent = dayName.format(at);
	line.append(name);
	return line;
};
