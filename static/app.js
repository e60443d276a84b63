// What script adds to pages that work without it: keys that send, rows that come by themselves, and times of the viewer's zone.
(() => {
	'use strict';

	const $ = id => document.getElementById(id);
	const WINDOW = 100; // rows that a fresh page shows
	const NEAR = 100; // pixels from the end within which the view follows
	const RUN = 5 * 60 * 1000; // longest pause within one author's run of rows

	const signIn = $('signin');
	if (signIn) {
		// A second click must not overtake the answer to the first: the name
		// would be taken, by nobody who could come back.
		let asked = false;
		signIn.addEventListener('submit', event => {
			if (asked) event.preventDefault();
			asked = true;
		});
		addEventListener('pageshow', () => { asked = false; });
	}

	// On a computer that people share, what one typed is not for the next: it
	// goes once a log-out has led here. A session that has ended by itself
	// leaves it for its user. Storage may be forbidden: then nothing was kept.
	try {
		if (signIn && sessionStorage.getItem('hubbub:leaving')) {
			for (const name of Object.keys(localStorage)) {
				if (name.startsWith('hubbub:')) localStorage.removeItem(name);
			}
		}
		sessionStorage.removeItem('hubbub:leaving');
		document.addEventListener('submit', event => {
			if (event.target.getAttribute('action')?.endsWith('/logout')) sessionStorage.setItem('hubbub:leaving', '1');
		});
	} catch { /* nothing was kept */ }

	const list = $('messages');
	if (!list) return;
	const scroller = $('scroller');
	const composer = $('composer');
	const body = $('body');
	const key = $('key');
	const enterSends = $('enter-sends');
	const toNewest = $('to-newest');
	const rows = () => list.querySelectorAll('li[id]');

	// The end of the list is where scrollTop is 0; further up it is negative.
	const atEnd = () => scroller.scrollTop > -NEAR;
	let follows = true;

	// Times, days and runs. The server has set them for its own zone.
	// Of the viewer's languages, the one of the page: it may name a region.
	const page = document.documentElement.lang;
	const lang = navigator.languages.find(l => l.slice(0, 2) === page.slice(0, 2)) || page;
	const clock = new Intl.DateTimeFormat(lang, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
	const full = new Intl.DateTimeFormat(lang, { dateStyle: 'full', timeStyle: 'medium' });
	const dayName = new Intl.DateTimeFormat(lang, { weekday: 'long', year: 'numeric', month: 'long', day: 'numeric' });

	const arrange = () => {
		let before = null;
		let day = '';
		let line = null; // the day line above, if it is still to be used
		const first = firstNew();
		for (const item of [...list.children]) {
			if (!item.id) {
				if (!item.classList.contains('day')) continue;
				line?.remove();
				line = item;
				continue;
			}
			const time = item.querySelector('time');
			const at = new Date(time.dateTime);
			if (!time.dataset.local) {
				time.dataset.local = time.textContent = clock.format(at);
				time.title = full.format(at);
			}
			const isNewDay = at.toDateString() !== day;
			if (isNewDay) {
				day = at.toDateString();
				// One that is right stays: a new one would be read out again.
				if (line?.dataset.day === day) line = null;
				else item.before(dayLine(at, day));
			}
			line?.remove();
			line = null;
			const same = !isNewDay && item !== first && before && before.author === item.dataset.author && at - before.at < RUN;
			item.classList.toggle('same', !!same);
			if (!item.classList.length) item.removeAttribute('class');
			before = { author: item.dataset.author, at };
		}
		line?.remove();
		placeNew(first);
	};
	// The line before the first message that is new to the viewer.
	const firstNew = () => {
		const read = +list.dataset.read;
		const { user } = composer.dataset;
		return read >= 0 && [...rows()].find(row => +row.id.slice(2) > read && row.dataset.author !== user);
	};
	const placeNew = first => {
		const have = list.querySelector('.new');
		if (!first) have?.remove();
		else if (first.previousElementSibling !== have || !have) first.before(have || newLine());
	};
	const newLine = () => {
		const line = document.createElement('li');
		const word = document.createElement('span');
		line.className = 'new';
		word.textContent = list.dataset.new;
		line.append(word);
		return line;
	};
	const dayLine = (at, day) => {
		const line = document.createElement('li');
		const name = document.createElement('time');
		const pad = n => String(n).padStart(2, '0');
		line.className = 'day';
		line.dataset.day = day;
		name.dateTime = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
		name.textContent = dayName.format(at);
		line.append(name);
		return line;
	};

	// A list that follows the newest keeps as many rows as a fresh page has.
	const trim = () => {
		const all = rows();
		const extra = all.length - WINDOW;
		if (extra <= 0) return;
		for (const row of [...all].slice(0, extra)) row.remove();
		older = true;
	};
	let older = false; // rows were taken away that the link has to lead to
	// The link to earlier rows goes on from the first one, whichever that is now.
	const offerEarlier = () => {
		const link = document.querySelector('#earlier a');
		const first = rows()[0];
		if (!link || !first) return;
		if (older) link.hidden = false;
		older = false;
		link.search = '?before=' + first.id.slice(2);
		link.setAttribute('hx-get', link.getAttribute('href'));
	};

	const observer = new MutationObserver(changes => settle(changes));
	const observe = () => observer.observe(list, { childList: true });
	const settle = changes => {
		const added = changes.flatMap(c => [...c.addedNodes]).filter(n => n.id);
		const last = rows()[rows().length - 1];
		const isNews = added.includes(last);
		observer.disconnect();
		if (isNews && follows) trim();
		arrange();
		offerEarlier();
		observe();
		if (follows) scroller.scrollTop = 0;
		else if (isNews) toNewest.hidden = false;
	};
	arrange();
	observe();

	list.addEventListener('hubbub:arrange', () => {
		observer.disconnect();
		arrange();
		observe();
	});

	scroller.addEventListener('scroll', () => {
		follows = atEnd();
		if (follows) toNewest.hidden = true;
	}, { passive: true });
	toNewest.addEventListener('click', () => {
		scroller.scrollTop = 0;
		follows = true;
		toNewest.hidden = true;
		body.focus();
	});

	// A row that comes both by post and by push is taken once, and never an
	// older state of it over a newer one: a screen reader would read it again.
	const gone = new Set(); // ids of deleted rows, for an answer that comes late
	document.addEventListener('htmx:before:swap', event => {
		const { tasks } = event.detail;
		for (const task of tasks) {
			if (task.swapSpec.style === 'delete' && task.target?.id) gone.add(task.target.id);
			if (task.target === list && task.swapSpec.style === 'innerHTML') {
				gone.clear();
				older = task.fragment.children.length >= WINDOW;
			}
		}
		for (const task of tasks) {
			const added = [...task.fragment?.querySelectorAll('li[data-revision]') || []];
			for (const row of added) {
				const have = task.swapSpec.style === 'upsert' && $(row.id);
				if (gone.has(row.id) || have && +have.dataset.revision >= +row.dataset.revision) row.remove();
			}
			// Only what comes at the end is news to be read out: not all rows
			// at once, and not those that a delete has uncovered.
			const last = rows()[rows().length - 1];
			const number = row => +row.id.slice(2);
			if (task.target === list && task.swapSpec.style === 'innerHTML' || last && added.some(row => number(row) < number(last))) hush();
		}
	});
	const hush = () => {
		scroller.setAttribute('aria-live', 'off');
		setTimeout(() => scroller.removeAttribute('aria-live'), 1000);
	};

	// Earlier rows are read when somebody goes to them, not when they come.
	document.addEventListener('htmx:before:request', event => {
		if (!event.target.closest('#earlier')) return;
		if (document.activeElement === event.target) scroller.focus({ preventScroll: true }); // the link goes
		hush();
	});

	// Deleting a row must not throw the keyboard back to the top of the page.
	list.addEventListener('click', event => {
		if (event.target.closest('.delete')) scroller.focus({ preventScroll: true });
	});
	// Done is done, also where no live connection says so.
	$('delete').addEventListener('htmx:after:request', event => {
		const { request, response } = event.detail.ctx;
		const row = response.status === 204 && $('m-' + request.action.match(/(\d+)\/delete$/)[1]);
		if (!row) return;
		gone.add(row.id);
		row.remove();
	});

	// The composer.
	// A key begins with the time: see newPostKey.
	const newKey = () => Date.now().toString(36) + Array.from(crypto.getRandomValues(new Uint8Array(16)), b => b.toString(36).padStart(2, '0')).join('');
	let sent = null; // the text under way, or whose fate is unknown

	const grow = () => {
		if (CSS.supports('field-sizing', 'content')) return;
		body.style.height = 'auto';
		body.style.height = body.scrollHeight + 'px';
	};
	body.addEventListener('input', () => {
		grow();
		if (sent === null) return;
		// Another text is another post, even if that one has come through.
		if (!composer.matches('.htmx-request')) {
			key.value = newKey();
			sent = null;
		}
	});
	const send = () => {
		if (body.value.trim()) composer.requestSubmit();
	};
	body.addEventListener('keydown', event => {
		// 229: an input method is composing; its Enter is not ours.
		if (event.key !== 'Enter' || event.isComposing || event.keyCode === 229) return;
		if (event.ctrlKey || event.metaKey || (enterSends.checked ? !event.shiftKey : event.shiftKey)) {
			event.preventDefault();
			send();
		}
	});
	composer.addEventListener('submit', event => {
		if (body.value.trim()) return;
		event.preventDefault();
		event.stopImmediatePropagation();
		body.focus();
	}, true);

	// Not htmx:config:request: that comes for a second submit as well, which is
	// then dropped.
	composer.addEventListener('htmx:before:request', event => {
		sent = event.detail.ctx.request.body.get('body');
	});
	composer.addEventListener('htmx:after:request', event => {
		const { status } = event.detail.ctx.response;
		if (status < 400) taken(sent);
		else if (status === 422) body.setAttribute('aria-invalid', 'true');
	});
	// The text has been posted, or waits in the outbox: see live.js.
	const taken = text => {
		// What was typed while the post was under way is the next message.
		const typed = body.value.replace(/\r\n?/g, '\n');
		const posted = text.replace(/\r\n?/g, '\n');
		body.value = typed.startsWith(posted) ? typed.slice(posted.length) : typed;
		body.removeAttribute('aria-invalid');
		$('composer-error').textContent = '';
		key.value = newKey();
		sent = null;
		grow();
		body.focus();
		follows = true;
		scroller.scrollTop = 0;
	};
	composer.addEventListener('hubbub:taken', event => taken(event.detail));

	// Whether Enter sends is this browser's habit. Storage may be forbidden.
	const remember = value => {
		try {
			if (value === undefined) return localStorage.getItem('enter-sends') === '1';
			localStorage.setItem('enter-sends', value ? '1' : '0');
		} catch { /* it stays as it is for this page */ }
		return false;
	};
	enterSends.checked = remember();
	enterSends.addEventListener('change', () => remember(enterSends.checked));
})();
