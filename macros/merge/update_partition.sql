{#- Pair of numbers: the rows that the month's partition had, and those that are unchanged in the new
    version. Makes the partition's rows those of the new version, which is built beside it, by id:
    readers aren't blocked, and a snapshot from before goes on to see the old rows. A row is unchanged
    when its id and all of its values are; its position in the file may be another. -#}
{% macro update_partition(partition, built, rows) %}
    {%- set changes = built.incorporate(path={'identifier': built.identifier ~ '_changes'}) -%}
    {%- set names = [] -%}
    {%- for name in model.columns -%}{%- do names.append(adapter.quote(name)) -%}{%- endfor -%}
    {%- set values = names | reject('equalto', adapter.quote('file_row')) | list -%}
    {%- call statement('changes') -%}
        {{ limit_lock_waits() }};
        -- nobody else changes a row, or moves it
        lock table {{ partition }} in share row exclusive mode;
        -- not unlogged: after a crash right behind a rollback, Postgres can't start for the file of one
        create table {{ changes }} as
        select
            new_version.ctid as new_place,
            old_version.ctid as old_place,
            (new_version.{{ values | join(', new_version.') }})
                is not distinct from (old_version.{{ values | join(', old_version.') }}) as is_moved
        from {{ built }} as new_version
        full join {{ partition }} as old_version on new_version.unique_row_id = old_version.unique_row_id
        where
            (new_version.{{ names | join(', new_version.') }})
            is distinct from (old_version.{{ names | join(', old_version.') }})
    {%- endcall -%}
    {%- set query -%}
        select
            count(*) filter (where old_place is null) as new,
            count(*) filter (where new_place is null) as gone,
            count(*) filter (where old_place is not null and new_place is not null and not is_moved) as changed
        from {{ changes }}
    {%- endset -%}
    {%- set counts = run_query(query).rows[0] -%}
    {%- set new, gone, changed = counts[0] | int, counts[1] | int, counts[2] | int -%}
    {%- call statement('update') -%}
        -- rows are found by their places
        set local enable_nestloop = on;
        delete from {{ partition }} as trips
        using {{ changes }} as changes
        where trips.ctid = changes.old_place and changes.new_place is null;
        update {{ partition }} as trips
        set
            {%- for name in names if name != adapter.quote('unique_row_id') %}
            {{ name }} = new_version.{{ name }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ changes }} as changes
        inner join {{ built }} as new_version on changes.new_place = new_version.ctid
        where trips.ctid = changes.old_place;
        insert into {{ partition }} ({{ names | join(', ') }})
        select new_version.{{ names | join(', new_version.') }}
        from {{ changes }} as changes
        inner join {{ built }} as new_version on changes.new_place = new_version.ctid
        where changes.old_place is null;
        set local enable_nestloop = off;
        drop table {{ changes }}, {{ built }}
    {%- endcall -%}
    {#- Two rows of the new version with one id would have become one. -#}
    {%- set stored = run_query("select count(*) from " ~ partition).rows[0][0] | int -%}
    {%- if stored != rows -%}
        {{ exceptions.raise_compiler_error(
            partition ~ ": " ~ rows ~ " rows built, " ~ stored ~ " stored; nothing was changed: run again with --force"
        ) }}
    {%- endif -%}
    {{ return((rows - new + gone, rows - new - changed)) }}
{% endmacro %}
