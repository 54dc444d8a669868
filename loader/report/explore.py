"""A window on the marts, in the browser: a marimo app. `nyc-tlc explore` starts it."""

import marimo

app = marimo.App(width="medium", app_title="New York's taxi trips")


@app.cell
def _():
    import altair as alt
    import marimo as mo

    from loader.report.window import Window

    window = Window()
    return alt, mo, window


@app.cell
def _(mo, window):
    mo.stop(
        not window.months,
        mo.md("No month has marts yet: `nyc-tlc run --dataset green --month 2023-01`"),
    )
    dataset = mo.ui.dropdown(list(window.months), value=window.newest, label="Dataset")
    mo.vstack([mo.md("# New York's taxi trips"), dataset])
    return (dataset,)


@app.cell
def _(dataset, mo, window):
    months = window.months[dataset.value]
    first = mo.ui.dropdown(months, value=months[-1], label="From")
    last = mo.ui.dropdown(months, value=months[-1], label="To")
    zones = mo.ui.multiselect(window.zones, label="Zones of pickup (none: all)")
    mo.hstack([first, last, zones], wrap=True, justify="start")
    return first, last, zones


@app.cell
def _(alt, dataset, first, last, mo, window, zones):
    days = window.days(dataset.value, first.value, last.value, zones.value)
    mo.stop(not days, mo.md("No trips: choose other months, or another dataset."))
    chart = (
        alt.Chart(alt.Data(values=days))
        .mark_line()
        .encode(
            x=alt.X("day:T", title=None),
            y=alt.Y("trips:Q", title="trips a day"),
            detail="run:N",  # a line ends where a month is missing
            tooltip=["day:T", "trips:Q"],
        )
        .properties(width="container", height=240)
    )
    mo.vstack([mo.md("## Trips by day"), mo.ui.altair_chart(chart)])
    return


@app.cell
def _(dataset, first, last, mo, window, zones):
    busiest = window.busiest(dataset.value, first.value, last.value, zones.value)
    mo.vstack([mo.md("## Zones"), mo.ui.table(busiest, selection=None)])
    return


@app.cell
def _(mo, window):
    query = mo.ui.text_area(window.example, label="SQL", rows=6, full_width=True).form(
        submit_button_label="Run"
    )
    mo.vstack([mo.md("## Your own question"), query])
    return (query,)


@app.cell
def _(mo, query, window):
    mo.stop(query.value is None)
    rows, problem = window.ask(query.value)
    mo.callout(problem, kind="danger") if problem else mo.ui.table(rows, selection=None)
    return


if __name__ == "__main__":
    app.run()
