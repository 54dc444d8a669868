{#- `nyc-tlc upgrade`: gives trips tables of earlier versions today's shape. The months of a table are
    copied beside it, in a transaction of their own, so that every later snapshot sees the copies. They
    take their places in another one, when readers wait for a moment. The table itself stays, and with
    it grants, indexes, triggers and comments. -#}
{% macro upgrade_tables(dry_run=false) %}
    {%- set upgraded = [] -%}
    {%- for node in graph.nodes.values() | sort(attribute='name')
        if target.type == 'postgres' and node.config.incremental_strategy == 'replace_file_month' -%}
        {%- set table = adapter.get_relation(node.database, node.schema, node.alias) -%}
        {%- set codes = codes_to_narrow(table, node.columns) if table else [] -%}
        {%- if codes -%}
            {%- do upgraded.append(table) -%}
            {%- set months = months_of_table(table) -%}
            {%- set megabytes = months | sum(attribute='bytes') / 1000000 -%}
            {%- do print(
                table.schema ~ '.' ~ table.identifier ~ ', months: ' ~ months | length ~ ': needs '
                ~ '{:,.0f}'.format(megabytes) ~ ' MB more on the way, and a tenth less than now in the end'
            ) -%}
            {%- if not dry_run -%}
                {%- do upgrade_table(table, node.columns, codes, months) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if not upgraded -%}
        {%- do print('nothing to do: the tables have the shape of this version') -%}
    {%- endif -%}
{% endmacro %}


{#- Drops the copies that an upgrade has made before it failed. -#}
{% macro drop_upgraded_copies() %}
    {%- for node in graph.nodes.values() if node.config.incremental_strategy == 'replace_file_month' -%}
        {%- set table = adapter.get_relation(node.database, node.schema, node.alias) -%}
        {%- for month in (months_of_table(table) if table else []) -%}
            {%- call statement('drop_copy') -%}begin; drop table if exists {{ month.built }}; commit{%- endcall -%}
        {%- endfor -%}
    {%- endfor -%}
{% endmacro %}


{#- List of the columns that are integers in a trips table, and smallint by the contract. -#}
{% macro codes_to_narrow(table, columns) %}
    {%- set codes = [] -%}
    {%- for name, type in types_of(table).items() -%}
        {%- if type == 'integer' and name in columns and columns[name].data_type == 'smallint' -%}
            {%- do codes.append(name) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(codes) }}
{% endmacro %}


{#- List of a table's partitions, oldest first, as mappings with partition, built (what an upgrade makes of
    it), file_month and bytes. -#}
{% macro months_of_table(table) %}
    {%- set months = [] -%}
    {%- set query -%}
        select
            relname as name,
            (regexp_match(pg_get_expr(relpartbound, oid), '[0-9]{4}-[0-9]{2}-[0-9]{2}'))[1] as file_month,
            pg_total_relation_size(oid) as bytes
        from pg_class
        where oid in (select inhrelid from pg_inherits where inhparent = cast('{{ table }}' as regclass))
        order by 2
    {%- endset -%}
    {%- for row in run_query(query).rows -%}
        {%- do months.append({
            'partition': table.incorporate(path={'identifier': row['name']}, type='table'),
            'built': table.incorporate(path={'identifier': row['name'] ~ '__upgraded'}, type='table'),
            'file_month': row['file_month'],
            'bytes': row['bytes'] | int,
        }) -%}
    {%- endfor -%}
    {{ return(months) }}
{% endmacro %}


{% macro upgrade_table(table, columns, codes, months) %}
    {%- set types = types_of(table) -%}
    {%- for code in codes -%}
        {%- do types.update({code: 'smallint'}) -%}
    {%- endfor -%}
    {%- call statement('begin') -%}
        begin;
        {{ limit_lock_waits() }};
        -- the session of an upgrade that is killed ends soon
        set client_connection_check_interval = '2s';
        -- merges of these months wait until this one ends
        {%- for month in months %}
        select pg_advisory_lock(hashtextextended('{{ month.partition }}', 0));
        -- of an upgrade that was stopped
        drop table if exists {{ month.built }}{{ ';' if not loop.last }}
        {%- endfor %}
    {%- endcall -%}
    {%- for month in months -%}
        {%- call statement('copy') -%}
            create table {{ month.built }} as
            select {{ stored_values(types) }}
            from {{ month.partition }}
        {%- endcall -%}
        {%- do index_ids(month.built) -%}
        {%- do check_month(month.built, month.file_month, columns) -%}
        {%- do print(dataset_of(table) ~ ' ' ~ month.file_month[:7] ~ ': copied') -%}
    {%- endfor -%}
    {%- set xid = transaction_id() -%}
    {%- call statement('commit_copies') -%}commit{%- endcall -%}
    {%- do wait_for_older_snapshots(xid) -%}

    {%- call statement('begin') -%}
        begin;
        {{ limit_lock_waits() }};
        lock table {{ table }} in access exclusive mode
    {%- endcall -%}
    {%- if months_of_table(table) | map(attribute='file_month') | list != months | map(attribute='file_month') | list -%}
        {{ exceptions.raise_compiler_error(dataset_of(table) ~ ": other months came or went meanwhile; nothing was changed, run it again") }}
    {%- endif -%}
    {%- set views = views_on(table) -%}
    {%- for view in views -%}
        {%- call statement('release') -%}{{ view.empty_sql }}{%- endcall -%}
    {%- endfor -%}
    {%- for month in months -%}
        {%- do drop_partition(table, month.partition, month.file_month) -%}
    {%- endfor -%}
    {%- call statement('narrow') -%}
        alter table {{ table }}
        {%- for code in codes %}
            alter column {{ adapter.quote(code) }} type smallint{{ ',' if not loop.last }}
        {%- endfor %}
    {%- endcall -%}
    {%- for month in months -%}
        {%- do attach_partition(table, month.partition, month.built, month.file_month) -%}
    {%- endfor -%}
    {%- for view in views -%}
        {%- call statement('restore') -%}{{ view.view_sql }}{%- endcall -%}
    {%- endfor -%}
    {%- call statement('commit') -%}commit{%- endcall -%}
{% endmacro %}


{#- Views that read a table keep its columns from getting another type. Each becomes an empty view of the
    same columns for a moment, and then itself again: never dropped, so that its grants stay, and all that
    is built on it. Its columns keep their types. -#}
{% macro views_on(table) %}
    {%- set query -%}
        with views as (

            select distinct
                pg_class.oid,
                pg_class.oid::regclass::text as name,
                pg_class.reloptions

            from pg_depend
            inner join pg_rewrite on pg_depend.objid = pg_rewrite.oid
            inner join pg_class on pg_rewrite.ev_class = pg_class.oid
            where
                pg_depend.classid = 'pg_rewrite'::regclass
                and pg_depend.refobjid = '{{ table }}'::regclass
                and pg_class.relkind = 'v'

        ),

        columns as (

            select
                attrelid as oid,
                string_agg(
                    format(
                        'cast(null as %s)%s as %I',
                        format_type(atttypid, atttypmod),
                        case when attcollation != typcollation then ' collate ' || attcollation::regcollation end,
                        attname
                    ),
                    ', ' order by attnum
                ) as empty_columns,
                string_agg(
                    case
                        when atttypid = 'integer'::regtype then format('cast(%1$I as integer) as %1$I', attname)
                        else quote_ident(attname)
                    end,
                    ', ' order by attnum
                ) as own_columns

            from pg_attribute
            inner join pg_type on pg_attribute.atttypid = pg_type.oid
            where attrelid in (select oid from views) and attnum > 0 and not attisdropped
            group by attrelid

        )

        select
            format('create or replace view %s as select %s where false', views.name, columns.empty_columns)
                as empty_sql,
            format(
                'create or replace view %s %s as select %s from (%s) as trips',
                views.name,
                'with (' || array_to_string(views.reloptions, ', ') || ')',
                columns.own_columns,
                rtrim(pg_get_viewdef(views.oid), ';')
            ) as view_sql

        from views
        inner join columns on views.oid = columns.oid
    {%- endset -%}
    {%- set found = run_query(query) -%}
    {{ return(found.rows) }}
{% endmacro %}
