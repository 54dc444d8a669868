{#- dbt's own `view` creates every view again in every build, and drops the old one with all that users
    have built on it; and two builds at once collide. This one replaces a view only when its SQL has
    changed, and one build waits for the other. -#}
{% materialization view_in_place, adapter='postgres' -%}
    {%- set view = this.incorporate(type='view') -%}
    {%- set new_view = view.incorporate(path={'schema': 'pg_temp', 'identifier': view.identifier ~ '__new'}) -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- call statement('lock') -%}
        select pg_advisory_xact_lock(hashtextextended('{{ view }}', 0))
    {%- endcall -%}
    {%- call statement('new_view') -%}
        {{ limit_lock_waits() }};
        {{ get_create_view_as_sql(new_view, sql) }}
    {%- endcall -%}
    {%- set existing = compare_views(view, new_view) -%}

    {%- if existing.is_same -%}
        {%- call noop_statement('main', 'UNCHANGED') -%}{%- endcall -%}
    {%- elif existing.type is none or existing.is_extended -%}
        {%- call statement('main') -%}{{ get_replace_view_sql(view, sql) }}{%- endcall -%}
    {%- else -%}
        {%- set grants = grants_to_restore(view, new_view) -%}
        {%- do drop_to_replace(view.incorporate(type=existing.type)) -%}
        {%- call statement('main') -%}
            {{ get_create_view_as_sql(view, sql) }}
            {{ grants | join(';\n') }}
        {%- endcall -%}
    {%- endif -%}
    {%- call statement('drop_new_view') -%}drop view {{ new_view }}{%- endcall -%}
    {%- do apply_grants(view, config.get('grants'), should_revoke=false) -%}
    {%- do persist_docs(view, model) -%}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {%- do adapter.commit() -%}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [view]}) }}
{%- endmaterialization %}


{% materialization view_in_place, adapter='bigquery' -%}
    {{ return(dbt.materialization_view_bigquery()) }}
{%- endmaterialization %}


{#- Mapping that describes the relation with the view's name: type (view, materialized_view or table; none
    when there is no such relation), is_same (a view with the same SQL), is_extended (a view, to which
    the new one only adds columns at the end). -#}
{% macro compare_views(view, new_view) %}
    {%- set query -%}
        with columns as (

            select
                attrelid,
                array_agg(
                    row(attname, atttypid, atttypmod, attcollation)::text order by attnum
                ) as columns

            from pg_attribute
            where
                attrelid in (to_regclass('{{ view }}'), to_regclass('{{ new_view }}'))
                and attnum > 0
                and not attisdropped
            group by attrelid

        )

        select
            case existing.relkind when 'v' then 'view' when 'm' then 'materialized_view' else 'table' end as type,
            existing.relkind = 'v'
            and pg_get_viewdef(existing.oid) = pg_get_viewdef(to_regclass('{{ new_view }}')) as is_same,
            existing.relkind = 'v'
            and before.columns = after.columns[:cardinality(before.columns)] as is_extended

        from pg_class as existing
        inner join columns as before on existing.oid = before.attrelid
        inner join columns as after on after.attrelid = to_regclass('{{ new_view }}')
        where existing.oid = to_regclass('{{ view }}')
    {%- endset -%}
    {#- Asked of the server: dbt's cache is from before the build. -#}
    {%- set found = run_query(query).rows -%}
    {{ return(found[0] if found else {'type': none, 'is_same': false, 'is_extended': false}) }}
{% endmacro %}


{#- List of statements that repeat the grants on a view, and on those of its columns that the new view
    also has. -#}
{% macro grants_to_restore(view, new_view) %}
    {%- set query -%}
        with granted as (

            select
                null as column_name,
                relacl as acl

            from pg_class
            where oid = to_regclass('{{ view }}')

            union all

            select
                attname as column_name,
                attacl as acl

            from pg_attribute
            where
                attrelid = to_regclass('{{ view }}')
                and attname in (
                    select attname from pg_attribute where attrelid = to_regclass('{{ new_view }}')
                )

        )

        select
            format(
                'grant %s%s on %s to %s%s',
                acl.privilege_type,
                ' (' || quote_ident(granted.column_name) || ')',
                '{{ view }}',
                case acl.grantee when 0 then 'public' else acl.grantee::regrole::text end,
                case when acl.is_grantable then ' with grant option' end
            ) as statement

        from granted
        cross join aclexplode(granted.acl) as acl
    {%- endset -%}
    {{ return(run_query(query).columns[0].values()) }}
{% endmacro %}


{#- Drops a relation that another one replaces. When something depends on it, a full refresh drops that
    too and reports it; any other build stops. -#}
{% macro drop_to_replace(relation) %}
    {%- set name = relation.schema ~ '.' ~ relation.identifier -%}
    {%- set dependents = drop_if_unused(relation) -%}
    {%- if dependents and not should_full_refresh() -%}
        {{ exceptions.raise_compiler_error(
            name ~ ": this version has other columns, and others depend on the old ones: " ~ dependents
            ~ "; nothing was changed. Drop these, or have them dropped: dbt run --full-refresh --select "
            ~ model.name
        ) }}
    {%- elif dependents -%}
        {%- do adapter.drop_relation(relation) -%}
        {%- do log(name ~ ": replaced; dropped with it: " ~ dependents, info=true) -%}
    {%- endif -%}
{% endmacro %}
